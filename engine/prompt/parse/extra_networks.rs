//! `<lora:name:0.8>`, `<hypernet:name>` and the like: files that A1111 applies and takes out of the prompt before it reads
//! the rest (`re_extra_net` in its `extra_networks.py`). ComfyUI reads them as words.

use std::ops::Range;

/// The extra networks of a prompt: the matches of `<(\w+):([^>]+)>`, in order.
pub(crate) fn extra_networks(prompt: &str) -> impl Iterator<Item = Range<usize>> {
    let ends = prompt.match_indices('>');
    let mut from = 0;
    ends.filter_map(move |(end, _)| {
        let before = from..end;
        from = end + 1;
        let start = prompt[before.clone()].match_indices('<').map(|(at, _)| before.start + at);
        let found = start.into_iter().find(|start| is_network(&prompt[start + 1..end]))?;
        Some(found..end + 1)
    })
}

/// `name:arguments`, neither of them empty.
fn is_network(inside: &str) -> bool {
    let name = inside.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(0);
    name > 0 && inside[name..].starts_with(':') && inside.len() > name + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_networks_are_what_a1111_takes_for_them() {
        // Python: [m.group() for m in re.finditer(r"<(\w+):([^>]+)>", prompt)]
        let table: [(&str, &[&str]); 13] = [
            ("<lora:foo:0.8>", &["<lora:foo:0.8>"]),
            ("a <lora:my style:1> <hypernet:b>,", &["<lora:my style:1>", "<hypernet:b>"]),
            ("<lora:a\nb:1>", &["<lora:a\nb:1>"]),
            ("<birb-style> <a> <a b:c>", &[]),
            ("<lora:> <:a> <lora:", &[]),
            ("<a<lora:b>", &["<lora:b>"]),
            ("<lora:a<b>c>", &["<lora:a<b>"]),
            ("<<lora:a>>", &["<lora:a>"]),
            ("<lora:>a>", &[]),
            ("<lora::>", &["<lora::>"]),
            ("1 < 2, 3 > 2: <3:a>", &["<3:a>"]),
            ("<l_1:x><l-1:x>", &["<l_1:x>"]),
            ("<été:x>", &["<été:x>"]),
        ];
        for (prompt, expected) in table {
            let found: Vec<&str> = extra_networks(prompt).map(|range| &prompt[range]).collect();
            assert_eq!(found, expected, "{prompt}");
        }
    }
}
