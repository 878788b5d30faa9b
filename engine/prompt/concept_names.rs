//! Finds concepts in a prompt by their names.
//!
//! `<birb-style>` is the token in the file (diffusers), `birb-style` the name of the file (A1111),
//! `embedding:birb-style` and `embedding:birb-style.pt` the same (ComfyUI). Case and the Unicode form are
//! ignored, as they are by CLIP's tokenizer, and so are backslashes that escape; a name matches whole words
//! only, and the longest match wins.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use tokenizers::NormalizedString;
use tokenizers::normalizer::Range::Normalized;

use super::parse::extra_networks::extra_networks;
use super::token_selection::lower_case;
use crate::concepts::set::folded;
use crate::concepts::{Concept, ConceptSet};
use crate::files::CONCEPT_EXTENSIONS;
use crate::format::ellipsize;

/// A range of the prompt that is a concept, or looks like one.
#[derive(Clone, Debug, PartialEq)]
pub struct ConceptMatch {
    /// Bytes of the prompt.
    pub range: Range<usize>,
    pub meaning: MatchKind,
}

/// What a matched word is.
#[derive(Clone, Debug, PartialEq)]
pub enum MatchKind {
    Concept(Arc<Concept>),
    /// A concept for another model, read as plain words; the sentence says why.
    NotUsable {
        text: String,
    },
    /// Not a loaded concept, read as plain words; `nearest` is a similar name.
    Unknown {
        nearest: Option<String>,
    },
    /// `<lora:name:0.8>` and the like, which are left out of the prompt in A1111's syntax.
    ExtraNetwork,
}

impl ConceptMatch {
    /// A warning if the word looks like a concept but is read as plain words.
    pub fn warning(&self, prompt: &str) -> Option<String> {
        let word = prompt.get(self.range.clone()).unwrap_or_default();
        match &self.meaning {
            MatchKind::Concept(_) => None,
            MatchKind::NotUsable { text } => Some(format!("{word} is read as plain words. {text}")),
            MatchKind::ExtraNetwork => {
                Some(format!("{} is not applied: Tidepool does not use such files", ellipsize(word, 60)))
            }
            MatchKind::Unknown { nearest: Some(nearest) } => Some(format!(
                "{word} is not a loaded concept, so it is read as plain words: did you mean {nearest}?"
            )),
            MatchKind::Unknown { nearest: None } => Some(format!(
                "{word} is not a loaded concept, so it is read as plain words: load its file first"
            )),
        }
    }
}

/// An index of concept names.
#[derive(Debug, Default)]
pub(super) struct ConceptNames {
    /// By the first piece of the folded name; longer names come first.
    by_first: HashMap<String, Vec<Name>>,
    /// By every spelling that `<...>` and `embedding:` allow, folded.
    loose: BTreeMap<String, Name>,
}

#[derive(Clone, Debug)]
struct Name {
    /// Folded, with single spaces.
    spelled: String,
    /// The spelling for suggestions.
    token: String,
    meaning: MatchKind,
}

/// ComfyUI's prefix for a concept's file name.
const EMBEDDING_PREFIX: &str = "embedding:";
/// At most this many unknown words get a suggestion, which is slow to find.
const MAX_SUGGESTED: usize = 4;
/// The longest `<...>` that is taken for a concept, in characters.
const MAX_UNKNOWN: usize = 64;

impl ConceptNames {
    pub fn new(concepts: &ConceptSet, width: usize) -> Self {
        let (mut strict, mut loose) = (BTreeMap::new(), BTreeMap::new());
        let all = || {
            concepts.iter().map(|concept| {
                let meaning = match concept.check_width(width) {
                    Ok(()) => MatchKind::Concept(Arc::clone(concept)),
                    Err(error) => MatchKind::NotUsable { text: error.to_string() },
                };
                (concept, meaning)
            })
        };
        // A file's own token takes precedence over another file's name; of two equal names the later wins.
        for (concept, meaning) in all() {
            let name = Name::new(&concept.name(), concept, meaning);
            loose.insert(name.spelled.clone(), name.clone());
            strict.insert(name.spelled.clone(), name);
        }
        for (concept, meaning) in all() {
            let name = Name::new(&concept.token, concept, meaning);
            loose.insert(without_brackets(&name.spelled).to_owned(), name.clone());
            strict.insert(name.spelled.clone(), name);
        }
        let mut by_first: HashMap<String, Vec<Name>> = HashMap::new();
        for (spelled, name) in strict {
            if !spelled.is_empty() {
                by_first.entry(first_piece(&spelled).to_owned()).or_default().push(name);
            }
        }
        for names in by_first.values_mut() {
            names.sort_by_key(|name| std::cmp::Reverse(name.spelled.len()));
        }
        Self { by_first, loose }
    }

    pub fn marks(&self, prompt: &str) -> Vec<ConceptMatch> {
        let mut text = NormalizedString::from(prompt);
        text.nfc();
        let mut marks = self.marks_in(text.get());
        for mark in &mut marks {
            mark.range = original(&text, mark.range.start)..original(&text, mark.range.end);
        }
        marks
    }

    /// The matches in a text in NFC.
    fn marks_in(&self, text: &str) -> Vec<ConceptMatch> {
        let mut marks: Vec<ConceptMatch> = Vec::new();
        let mut networks = extra_networks(text).peekable();
        let mut unknown: HashMap<&str, MatchKind> = HashMap::new();
        let mut free_from = 0;
        let mut before = None;
        for (at, c) in text.char_indices() {
            let joined = before.is_some_and(|before| joins(before, c));
            before = Some(c);
            if at < free_from || joined || c.is_whitespace() {
                continue;
            }
            while networks.next_if(|network| network.start < at).is_some() {}
            let network = networks.peek().filter(|network| network.start == at);
            let Some((len, name)) = self.at(&text[at..], network.map(Range::len)) else { continue };
            let range = at..at + len;
            free_from = range.end;
            let meaning = match name {
                Some(name) => name.meaning.clone(),
                None if network.is_some() => MatchKind::ExtraNetwork,
                None => {
                    let word = &text[range.clone()];
                    let is_suggested = unknown.len() < MAX_SUGGESTED;
                    let kind = unknown.entry(word).or_insert_with(|| MatchKind::Unknown {
                        nearest: is_suggested.then(|| self.nearest(word)).flatten(),
                    });
                    kind.clone()
                }
            };
            marks.push(ConceptMatch { range, meaning });
        }
        marks
    }

    /// The bytes of the concept's name that `text` begins with, and the name; `None` if it only looks like a
    /// concept. `network_len` are the bytes of the extra network that it begins with.
    fn at<'a>(&'a self, text: &str, network_len: Option<usize>) -> Option<(usize, Option<&'a Name>)> {
        if let Some((len, name)) = self.named(text, |_| true) {
            return Some((len, Some(name)));
        }
        if let Some((prefix, file)) = text.split_at_checked(EMBEDDING_PREFIX.len())
            && prefix.eq_ignore_ascii_case(EMBEDDING_PREFIX)
        {
            return self.by_file(file).map(|(len, name)| (prefix.len() + len, name));
        }
        if let Some(len) = network_len {
            return Some((len, None));
        }
        let word = bracketed(text)?;
        let inside = lower_case(&without_brackets(word).replace('\\', ""));
        Some((word.len(), self.loose.get(&inside)))
    }

    /// The longest name that `text` begins with, as whole words, and after which the text may continue as it does.
    fn named<'a>(&'a self, text: &str, may_continue: impl Fn(&str) -> bool) -> Option<(usize, &'a Name)> {
        let first = first_piece(text.strip_prefix('\\').unwrap_or(text));
        let names = self.by_first.get(&lower_case(first))?;
        names.iter().find_map(|name| {
            let len = len_of(&name.spelled, text)?;
            let (matched, rest) = text.split_at(len);
            let last = matched.chars().next_back()?;
            let is_joined = rest.chars().next().is_some_and(|next| joins(last, next));
            (!is_joined && may_continue(rest)).then_some((len, name))
        })
    }

    /// The file after `embedding:`, optionally with its folder and extension. A name that is longer than that of a
    /// loaded concept is another name.
    fn by_file<'a>(&'a self, file: &str) -> Option<(usize, Option<&'a Name>)> {
        let word = &file[..file.find(ends_file_name).unwrap_or(file.len())];
        let word = word.trim_end_matches(ENDS_SENTENCE);
        let folder_len = word.rfind(['/', '\\']).map_or(0, |separator| separator + 1);
        for start in [0, folder_len] {
            let is_whole = |rest: &str| {
                let rest = rest[ending_len(rest)..].trim_start_matches(ENDS_SENTENCE);
                rest.chars().next().is_none_or(ends_file_name)
            };
            if let Some((len, name)) = self.named(&file[start..], is_whole) {
                let end = start + len;
                return Some((end + ending_len(&file[end..]), Some(name)));
            }
        }
        let name = lower_case(&word[folder_len..]);
        let stem = name.len() - name.rfind('.').map_or(0, |dot| ending_len(&name[dot..]));
        (!word.is_empty()).then(|| (word.len(), self.loose.get(without_brackets(&name[..stem]))))
    }

    /// The most similar name, if it is similar enough.
    fn nearest(&self, word: &str) -> Option<String> {
        let inside = lower_case(word);
        let inside = without_brackets(inside.strip_prefix(EMBEDDING_PREFIX).unwrap_or(&inside));
        let limit = (inside.chars().count() / 3).max(1);
        let is_near = |spelled: &str| spelled.len().abs_diff(inside.len()) <= 4 * limit;
        let distances = self.loose.iter().filter(|(spelled, _)| is_near(spelled));
        let (distance, name) = distances
            .map(|(spelled, name)| (strsim::osa_distance(inside, spelled), name))
            .min_by_key(|(distance, _)| *distance)?;
        (distance <= limit).then(|| name.token.clone())
    }
}

impl Name {
    fn new(written: &str, concept: &Concept, meaning: MatchKind) -> Self {
        let words: Vec<String> = written.split_whitespace().map(folded).collect();
        Self { spelled: words.join(" "), token: concept.token.clone(), meaning }
    }
}

/// The byte of the original text where the character at byte `at` of the normalized text begins.
fn original(text: &NormalizedString, at: usize) -> usize {
    let character = text.convert_offsets(Normalized(at..at + 1));
    character.map_or(text.get_original().len(), |range| range.start)
}

/// Whether a character ends the name of a file after `embedding:`.
fn ends_file_name(c: char) -> bool {
    c.is_whitespace() || ",:()[]|".contains(c)
}

/// What may follow a name without being part of it: the end of a sentence, and the backslash of an escaped bracket.
const ENDS_SENTENCE: [char; 7] = ['.', ';', '!', '?', '"', '\'', '\\'];

/// Whether both characters are within one word.
fn joins(left: char, right: char) -> bool {
    left.is_alphanumeric() && right.is_alphanumeric()
}

/// The letters and digits at the beginning of a text, or one other character.
fn first_piece(text: &str) -> &str {
    let mut chars = text.char_indices();
    let end = match chars.next() {
        Some((_, c)) if c.is_alphanumeric() => chars.find(|(_, c)| !c.is_alphanumeric()).map(|(at, _)| at),
        _ => chars.next().map(|(at, _)| at),
    };
    &text[..end.unwrap_or(text.len())]
}

/// Bytes of `text` that match a name, if it begins with the name.
fn len_of(name: &str, text: &str) -> Option<usize> {
    let mut name = name.chars().peekable();
    let mut chars = text.char_indices().peekable();
    while let Some(&expected) = name.peek() {
        let (_, mut c) = chars.next()?;
        if c == '\\' && expected != c {
            (_, c) = chars.next()?;
        }
        if c.is_whitespace() {
            while chars.next_if(|(_, next)| next.is_whitespace()).is_some() {}
            name.next_if_eq(&' ')?;
        } else {
            for lower in c.to_lowercase() {
                name.next_if_eq(&lower)?;
            }
        }
    }
    Some(chars.peek().map_or(text.len(), |&(at, _)| at))
}

/// `<...>`, if `text` begins with one that may be a concept: no white space, no `<` inside.
fn bracketed(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('<')?;
    let begins_well = inside.starts_with(char::is_alphanumeric);
    let mut chars = inside.char_indices().take(MAX_UNKNOWN + 1);
    let (end, last) = chars.find(|(_, c)| c.is_whitespace() || "<>".contains(*c))?;
    (begins_well && last == '>').then(|| &text[..end + 2])
}

fn without_brackets(word: &str) -> &str {
    word.strip_prefix('<').and_then(|word| word.strip_suffix('>')).unwrap_or(word)
}

/// Bytes of the extension of a weight file at the beginning of `text`; 0 if there is none.
fn ending_len(text: &str) -> usize {
    let Some(after) = text.strip_prefix('.') else { return 0 };
    let ending = first_piece(after);
    let is_known = CONCEPT_EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(ending));
    if is_known { 1 + ending.len() } else { 0 }
}
