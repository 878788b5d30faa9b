//! Web addresses: resolving redirects, and comparing origins.

use std::fmt;

use ureq::http::Uri;

/// An `http` or `https` address with a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address(Uri);

impl Address {
    pub fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        (is_web && uri.host().is_some_and(|host| !host.is_empty())).then_some(Self(uri))
    }

    /// `path` appended to this address.
    pub fn below(&self, path: &str) -> Option<Self> {
        Self::parse(&format!("{}/{path}", self.to_string().trim_end_matches('/')))
    }

    /// Resolves a `Location` header (RFC 3986, section 5.2, without dot segments, which servers do not
    /// send).
    pub fn follow(&self, location: &str) -> Option<Self> {
        let location = location.trim();
        let (scheme, authority) = (self.0.scheme_str()?, self.0.authority()?);
        if location.contains("://") && !location.starts_with('/') {
            return Self::parse(location);
        }
        if location.starts_with("//") {
            return Self::parse(&format!("{scheme}:{location}"));
        }
        if location.starts_with('/') {
            return Self::parse(&format!("{scheme}://{authority}{location}"));
        }
        let folder = self.0.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        Self::parse(&format!("{scheme}://{authority}{folder}/{location}"))
    }

    /// The same scheme, host and port: only these may see the token.
    pub fn is_same_origin(&self, other: &Self) -> bool {
        self.origin() == other.origin()
    }

    pub fn is_encrypted(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// For error messages: the full addresses of files contain long signatures.
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default()
    }

    fn origin(&self) -> (bool, String, u16) {
        let default_port = if self.is_encrypted() { 443 } else { 80 };
        (self.is_encrypted(), self.host().to_ascii_lowercase(), self.0.port_u16().unwrap_or(default_port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        // `Uri` writes a bare host with a trailing slash.
        f.write_str(if self.0.path() == "/" { text.trim_end_matches('/') } else { &text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).expect(text)
    }

    #[test]
    fn a_location_is_resolved_against_the_address_that_sent_it() {
        let base = address("https://hub.example:8443/owner/name/file?x=1");
        for (location, resolved) in [
            ("https://cdn.example/a?b=c", "https://cdn.example/a?b=c"),
            ("//cdn.example/a", "https://cdn.example/a"),
            ("/a/b", "https://hub.example:8443/a/b"),
            ("other", "https://hub.example:8443/owner/name/other"),
        ] {
            assert_eq!(base.follow(location).expect(location).to_string(), resolved);
        }
        for invalid in ["ftp://cdn.example/a", "file:///etc/passwd", "https://"] {
            assert_eq!(base.follow(invalid), None, "{invalid}");
        }
    }

    #[test]
    fn the_origin_is_scheme_host_and_port() {
        let hub = address("https://hub.example/api");
        assert!(hub.is_same_origin(&address("https://HUB.example:443/x")));
        for other in [
            "http://hub.example/",
            "https://hub.example:8443/",
            "https://hub.example.org/",
            "https://a.hub.example/",
        ] {
            assert!(!hub.is_same_origin(&address(other)), "{other}");
        }
    }
}
