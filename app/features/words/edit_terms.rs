//! Terms of an edit: parsed from a field, added, or subtracted.

use engine::prompt::{EmbeddingEdit, PromptTokenizer, Source, Term, Token, TokenSelector};

/// Parses the text of the field: a sum such as `king - man + woman`, or one name, in place
/// of the selected token. `None` if it is empty; an error sentence if it cannot be parsed.
pub fn sum_of(at: &TokenSelector, written: &str) -> Option<Result<Vec<Term>, String>> {
    let written = written.trim();
    if written.is_empty() {
        return None;
    }
    // A sign alone is not a name.
    let is_name = !written.contains(['+', '*', '#', '=', ',']) && !format!(" {written} ").contains(" - ");
    Some(match format!("{at}={written}").parse::<EmbeddingEdit>() {
        Ok(edit)
            if edit
                == (EmbeddingEdit {
                    replacement: edit.replacement.clone(),
                    ..EmbeddingEdit::new(at.clone())
                }) =>
        {
            Ok(edit.replacement)
        }
        Ok(_) => Err("Only words go here. Use the sliders below for scale and noise".to_owned()),
        Err(_) if is_name => Ok(vec![Term { weight: 1.0, word: Source::Word(written.to_owned()) }]),
        Err(error) => Err(error),
    })
}

/// How an edit names a token: by its word if that is unambiguous, else by its id.
pub fn own_source(words: &PromptTokenizer, token: &Token, at: &TokenSelector) -> Source {
    if let Some((concept, _)) = &token.vector {
        return Source::Word(concept.token.clone());
    }
    let alone = words.tokenize(&at.text);
    let mut tokens = alone.tokens().map(|(_, token)| token.id);
    match (tokens.next(), tokens.next()) {
        (Some(id), None) if id == token.id => Source::Word(at.text.clone()),
        _ => Source::Id(token.id),
    }
}

/// Blends terms with the existing ones, or with the token itself. Equal shares stay equal.
pub fn add_word(replacement: &mut Vec<Term>, own: Source, new: Vec<Term>) {
    if replacement.is_empty() {
        replacement.push(Term { weight: 1.0, word: own });
    }
    let share = 1.0 / replacement.len() as f32;
    let is_even = replacement.iter().all(|term| (term.weight - share).abs() < 0.01)
        && new.iter().all(|term| term.weight == 1.0);
    replacement.extend(new);
    if is_even {
        let share = (100.0 / replacement.len() as f32).round() / 100.0;
        replacement.iter_mut().for_each(|term| term.weight = share);
    }
}

/// Subtracts terms from the existing ones, or from the token itself.
pub fn subtract_word(replacement: &mut Vec<Term>, own: Source, new: Vec<Term>) {
    if replacement.is_empty() {
        replacement.push(Term { weight: 1.0, word: own });
    }
    replacement.extend(new.into_iter().map(|term| Term { weight: -term.weight, ..term }));
}

/// A note about a source, and whether it is unusable.
pub fn note_of(words: &PromptTokenizer, source: &Source) -> Option<(String, bool)> {
    match source {
        Source::Id(id) => match words.piece(*id) {
            None => Some((format!("This model has no token with the id {id}"), true)),
            Some(piece) => Some((format!("#{id} is \"{}\"", piece.trim_end_matches("</w>")), false)),
        },
        Source::Word(word) => {
            let text = words.tokenize(word);
            let is_concept = text.concepts().next().is_some();
            match text.used() {
                0 => Some((format!("\"{word}\" is not a word of this model"), true)),
                1 => None,
                count if is_concept => {
                    Some((format!("{word} has {count} vectors. Their mean is used"), false))
                }
                count => Some((format!("{word} is {count} tokens. Their mean is used"), false)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn term(weight: f32, word: &str) -> Term {
        Term { weight, word: Source::Word(word.into()) }
    }

    #[test]
    fn a_field_takes_a_word_a_sum_or_an_id() {
        let sum = |written: &str| sum_of(&puppy(), written).transpose().expect("a sum");
        assert_eq!(sum("  "), None);
        assert_eq!(sum("cat"), Some(vec![term(1.0, "cat")]));
        assert_eq!(sum("red fox"), Some(vec![term(1.0, "red fox")]), "no sum, so it is a name");
        let queen = vec![term(1.0, "king"), term(-1.0, "man"), term(1.0, "woman")];
        assert_eq!(sum("king - man + woman"), Some(queen));
        assert_eq!(sum("#5"), Some(vec![Term { weight: 1.0, word: Source::Id(5) }]));
    }

    #[test]
    fn what_is_neither_is_refused_with_a_sentence() {
        for written in
            ["cat, scale 2", "10*cat", "king - man +", "king -", "cat, no position", "=,#[", ", scale 2"]
        {
            let said = sum_of(&puppy(), written).expect("something is written");
            assert!(said.is_err(), "{written}: {said:?}");
        }
        let said = sum_of(&puppy(), "king - man +");
        assert!(said.is_some_and(|said| said.is_err_and(|text| text.starts_with("\"puppy=king - man +\""))));
    }

    fn puppy() -> TokenSelector {
        TokenSelector { text: "puppy".into(), ..TokenSelector::default() }
    }

    #[test]
    fn equal_shares_stay_equal_and_others_as_they_were() {
        let own = || Source::Word("puppy".into());
        let mut replacement = Vec::new();
        add_word(&mut replacement, own(), vec![term(1.0, "skunk")]);
        assert_eq!(replacement, [term(0.5, "puppy"), term(0.5, "skunk")]);
        add_word(&mut replacement, own(), vec![term(1.0, "cat")]);
        assert_eq!(replacement, [term(0.33, "puppy"), term(0.33, "skunk"), term(0.33, "cat")]);
        replacement[0].weight = 0.8;
        add_word(&mut replacement, own(), vec![term(0.2, "owl")]);
        assert_eq!(replacement[3], term(0.2, "owl"));
        assert_eq!(replacement[0].weight, 0.8);
        let mut replacement = Vec::new();
        subtract_word(&mut replacement, own(), vec![term(1.0, "dog")]);
        assert_eq!(replacement, [term(1.0, "puppy"), term(-1.0, "dog")]);
    }
}
