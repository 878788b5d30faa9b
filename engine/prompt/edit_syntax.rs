//! The syntax of edits: `puppy=0.5*puppy+0.5*skunk`.
//!
//! ```text
//! EDIT   = [ "~" ] WORD [ "~" ] [ "[" NTH [ "." PART ] "]" ] "=" [ SUM ] { "," CHANGE }
//! SUM    = [ "-" ] TERM { ( "+" | "-" ) TERM }
//! TERM   = [ NUMBER "*" ] ( WORD | "#" ID )
//! CHANGE = "scale" NUMBER | "noise" NUMBER [ "seed" NUMBER ] | "no position"
//! ```
//! A tilde marks a side where the word continues: `~girl` is the piece of `1girl`. A word may be quoted, and
//! must be if it contains one of `+-*=,#[~`; within quotes, a quote is doubled. A concept may be written
//! `<birb-style>`.

use std::fmt;
use std::str::FromStr;

use super::edit::{EditNoise, EmbeddingEdit, Source, Term, TokenSelector};
use super::token_selection::lower_case;

impl fmt::Display for EmbeddingEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.selector)?;
        for (index, Term { weight, word }) in self.replacement.iter().enumerate() {
            let sign = match (index, *weight < 0.0) {
                (_, true) => "-",
                (0, false) => "",
                (_, false) => "+",
            };
            write!(f, "{sign}")?;
            if weight.abs() != 1.0 {
                write!(f, "{}*", weight.abs())?;
            }
            write!(f, "{word}")?;
        }
        if self.scale != 1.0 {
            write!(f, ", scale {}", self.scale)?;
        }
        if let Some(EditNoise { amount, seed }) = self.noise {
            write!(f, ", noise {amount} seed {seed}")?;
        }
        if !self.has_position {
            write!(f, ", no position")?;
        }
        Ok(())
    }
}

impl fmt::Display for TokenSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [left, right] = self.joined.map(|joined| if joined { "~" } else { "" });
        write!(f, "{left}{}{right}", quoted(&self.text))?;
        match (self.nth, self.part) {
            (0, 0) => Ok(()),
            (nth, 0) => write!(f, "[{nth}]"),
            (nth, part) => write!(f, "[{nth}.{part}]"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => write!(f, "{}", quoted(word)),
            Self::Id(id) => write!(f, "#{id}"),
        }
    }
}

/// Characters that end a word.
const DELIMITERS: &str = "+-*=,#[~\"";

fn quoted(word: &str) -> String {
    let inside = word.strip_prefix('<').and_then(|word| word.strip_suffix('>'));
    let is_bracketed = inside.is_some_and(|inside| !inside.contains(['<', '>', '"']));
    let is_plain = !word.is_empty()
        && !word.starts_with('<')
        && !word.contains(|c: char| c.is_whitespace() || DELIMITERS.contains(c));
    // Without quotes, a word that looks like a number would be read as a weight.
    if is_bracketed || is_plain && word.parse::<f32>().is_err() {
        word.to_owned()
    } else {
        format!("\"{}\"", word.replace('"', "\"\""))
    }
}

impl FromStr for EmbeddingEdit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parser = EditParser { rest: text };
        let edit = parser.edit().map_err(|expected| {
            let at = text.len() - parser.rest.len();
            let found = if parser.rest.trim().is_empty() { "the end" } else { parser.rest.trim() };
            format!(
                "{text:?} is not an edit: expected {expected} at {found:?} (byte {at}). Write it as puppy=0.5*puppy+0.5*skunk"
            )
        })?;
        edit.check().map_err(|why| format!("{text:?} cannot be used: {why}"))?;
        Ok(edit)
    }
}

/// Reads from left to right. Its errors say what was expected.
struct EditParser<'a> {
    rest: &'a str,
}

impl EditParser<'_> {
    fn edit(&mut self) -> Result<EmbeddingEdit, &'static str> {
        let left = self.take("~");
        let text = lower_case(&self.word()?);
        let joined = [left, self.take("~")];
        let (mut nth, mut part) = (0, 0);
        if self.take("[") {
            nth = self.whole("a count")?;
            if self.take(".") {
                part = self.whole("a count")?;
            }
            self.expect("]", "]")?;
        }
        self.expect("=", "=")?;
        let mut edit = EmbeddingEdit::new(TokenSelector { text, joined, nth, part });
        let mut sign = if self.take("-") { -1.0 } else { 1.0 };
        while edit.replacement.is_empty() && !self.at_end_of_sum()
            || !edit.replacement.is_empty() && self.sign(&mut sign)
        {
            let Term { weight, word } = self.term()?;
            edit.replacement.push(Term { weight: sign * weight, word });
        }
        while self.take(",") {
            self.change(&mut edit)?;
        }
        if self.rest.trim().is_empty() { Ok(edit) } else { Err("+, -, a comma or the end") }
    }

    fn at_end_of_sum(&self) -> bool {
        let rest = self.rest.trim_start();
        rest.is_empty() || rest.starts_with(',')
    }

    fn sign(&mut self, sign: &mut f32) -> bool {
        if self.take("+") {
            *sign = 1.0;
            return true;
        }
        let is_minus = self.take("-");
        if is_minus {
            *sign = -1.0;
        }
        is_minus
    }

    fn term(&mut self) -> Result<Term, &'static str> {
        let before = self.rest;
        let weight = self.number("a weight").ok().filter(|weight| weight.is_finite());
        let weight = match weight {
            Some(weight) if self.take("*") => weight,
            _ => {
                self.rest = before;
                1.0
            }
        };
        let word = if self.take("#") { Source::Id(self.whole("an id")?) } else { Source::Word(self.word()?) };
        Ok(Term { weight, word })
    }

    fn change(&mut self, edit: &mut EmbeddingEdit) -> Result<(), &'static str> {
        match self.word()?.as_str() {
            "scale" => edit.scale = self.signed("a scale")?,
            "noise" => {
                let amount = self.number("a noise")?;
                let before = self.rest;
                let has_seed = self.word().is_ok_and(|word| word == "seed");
                let seed = if has_seed { self.whole("a seed")? } else { 0 };
                if !has_seed {
                    self.rest = before;
                }
                edit.noise = Some(EditNoise { amount, seed });
            }
            "no" if self.word().as_deref() == Ok("position") => edit.has_position = false,
            _ => return Err("scale, noise or no position"),
        }
        Ok(())
    }

    /// In quotes, in angle brackets, or up to white space or a delimiter.
    fn word(&mut self) -> Result<String, &'static str> {
        let rest = self.rest.trim_start();
        if let Some(inside) = rest.strip_prefix('"') {
            return self.quoted(inside);
        }
        let (word, after) = if rest.starts_with('<')
            && let Some(end) = rest.find('>')
        {
            rest.split_at(end + 1)
        } else {
            rest.split_at(
                rest.find(|c: char| c.is_whitespace() || DELIMITERS.contains(c)).unwrap_or(rest.len()),
            )
        };
        if word.is_empty() {
            return Err("a word");
        }
        self.rest = after;
        Ok(word.to_owned())
    }

    /// The rest of a quoted word, after the opening quote.
    fn quoted(&mut self, inside: &str) -> Result<String, &'static str> {
        let mut word = String::new();
        let mut chars = inside.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if c == '"' && chars.next_if(|(_, next)| *next == '"').is_none() {
                self.rest = &self.rest[self.rest.len() - (inside.len() - at - 1)..];
                return if word.is_empty() { Err("a word") } else { Ok(word) };
            }
            word.push(c);
        }
        Err("a closing quote")
    }

    fn signed(&mut self, what: &'static str) -> Result<f32, &'static str> {
        let sign = if self.take("-") { -1.0 } else { 1.0 };
        Ok(sign * self.number(what)?)
    }

    fn number(&mut self, what: &'static str) -> Result<f32, &'static str> {
        self.parsed(what, |c| c.is_ascii_digit() || c == '.')
    }

    fn whole<T: FromStr>(&mut self, what: &'static str) -> Result<T, &'static str> {
        self.parsed(what, |c| c.is_ascii_digit())
    }

    fn parsed<T: FromStr>(
        &mut self,
        what: &'static str,
        is_digit: fn(char) -> bool,
    ) -> Result<T, &'static str> {
        let rest = self.rest.trim_start();
        let end = rest.find(|c| !is_digit(c)).unwrap_or(rest.len());
        let number = rest[..end].parse().map_err(|_| what)?;
        self.rest = &rest[end..];
        Ok(number)
    }

    fn expect(&mut self, sign: &str, what: &'static str) -> Result<(), &'static str> {
        if self.take(sign) { Ok(()) } else { Err(what) }
    }

    fn take(&mut self, sign: &str) -> bool {
        let after = self.rest.trim_start().strip_prefix(sign);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(weight: f32, word: &str) -> Term {
        Term { weight, word: Source::Word(word.into()) }
    }

    #[test]
    fn edits_are_read_as_they_are_written() {
        let at = |letters: &str, nth| TokenSelector { text: letters.into(), nth, ..TokenSelector::default() };
        let of = |selector, replacement| EmbeddingEdit { replacement, ..EmbeddingEdit::new(selector) };
        let table = [
            ("puppy=cat", of(at("puppy", 0), vec![word(1.0, "cat")])),
            (
                "puppy = 0.5*puppy + 0.5 * skunk",
                of(at("puppy", 0), vec![word(0.5, "puppy"), word(0.5, "skunk")]),
            ),
            ("Puppy[2]=#2368", of(at("puppy", 2), vec![Term { weight: 1.0, word: Source::Id(2368) }])),
            ("<frost>[1.2]=cat", of(TokenSelector { part: 2, ..at("<frost>", 1) }, vec![word(1.0, "cat")])),
            (
                "~girl[1]=cat",
                of(TokenSelector { joined: [true, false], ..at("girl", 1) }, vec![word(1.0, "cat")]),
            ),
            ("1~=cat", of(TokenSelector { joined: [false, true], ..at("1", 0) }, vec![word(1.0, "cat")])),
            ("\"\"\"\"=\"<a>b>\"", of(at("\"", 0), vec![word(1.0, "<a>b>")])),
            (
                "king=king-man+woman",
                of(at("king", 0), vec![word(1.0, "king"), word(-1.0, "man"), word(1.0, "woman")]),
            ),
            ("puppy=-2*\"t-shirt\"", of(at("puppy", 0), vec![word(-2.0, "t-shirt")])),
            ("puppy=<birb-style>", of(at("puppy", 0), vec![word(1.0, "<birb-style>")])),
            ("a=\"1\"", of(at("a", 0), vec![word(1.0, "1")])),
            ("puppy=, scale 1.5", EmbeddingEdit { scale: 1.5, ..EmbeddingEdit::new(at("puppy", 0)) }),
            (
                "puppy=cat, scale -1, noise 0.25 seed 7, no position",
                EmbeddingEdit {
                    replacement: vec![word(1.0, "cat")],
                    scale: -1.0,
                    noise: Some(EditNoise { amount: 0.25, seed: 7 }),
                    has_position: false,
                    ..EmbeddingEdit::new(at("puppy", 0))
                },
            ),
        ];
        for (text, expected) in table {
            let read: EmbeddingEdit = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(read, expected, "{text}");
            assert_eq!(read.to_string().parse(), Ok(expected), "{read} is {text} written again");
        }
    }

    #[test]
    fn text_that_is_not_an_edit_is_refused_with_a_sentence() {
        let broken = [
            "",
            "=",
            "puppy",
            "puppy=0.5*",
            "puppy=cat+",
            "puppy=cat dog",
            "puppy[x]=cat",
            "puppy[1=cat",
            "puppy=#",
            "puppy=#x",
            "puppy=cat, size 2",
            "puppy=cat,",
            "puppy=\"cat",
            "puppy=5*cat",
            "puppy=, scale 99",
            "puppy=#99999999999999999999",
            "puppy=cat, noise",
            "puppy=cat, noise 1 seed",
            "puppy=cat, no",
        ];
        for text in broken {
            let error = text.parse::<EmbeddingEdit>().expect_err(text);
            assert!(error.starts_with(&format!("{text:?}")), "{error}");
        }
    }
}
