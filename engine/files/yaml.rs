//! The settings in a YAML file, without a tree: its readers look for a few keys.

use std::collections::HashMap;
use std::rc::Rc;

use granit_parser::{Event, Parser};

/// Calls `visit` for each scalar with the keys that lead to it. The items of a list have the keys of the list.
/// An alias is the scalar that it names; aliases of lists and mappings are passed over.
///
/// # Errors
/// What is wrong with the YAML, and where.
pub fn visit_scalars(yaml: &str, visit: &mut dyn FnMut(&[Rc<str>], &str)) -> Result<(), String> {
    let mut open: Vec<OpenNode> = Vec::new();
    let mut anchors: HashMap<usize, Rc<str>> = HashMap::new();
    let mut repeated = 0;
    for event in Parser::new_from_str(yaml) {
        let scalar: Option<Rc<str>> = match event.map_err(|error| error.to_string())?.0 {
            Event::MappingStart(..) => {
                open.push(OpenNode::Map(None));
                continue;
            }
            Event::SequenceStart(..) => {
                open.push(OpenNode::List);
                continue;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                open.pop();
                None
            }
            Event::Scalar(text, _, anchor, _) => {
                let text: Rc<str> = text.into();
                if anchor != 0 {
                    anchors.insert(anchor, Rc::clone(&text));
                }
                Some(text)
            }
            Event::Alias(anchor) => {
                let text = anchors.get(&anchor).cloned();
                repeated += text.as_ref().map_or(0, |text| text.len());
                // A few bytes can name a long text a million times.
                if repeated > yaml.len() {
                    return Err("its aliases repeat more than its length".into());
                }
                text
            }
            _ => continue,
        };
        if let (Some(text), Some(keys)) = (&scalar, keys_of(&open)) {
            visit(&keys, text);
        }
        if let Some(OpenNode::Map(key)) = open.last_mut() {
            // In a mapping, nodes are keys and values in turn. A key that is not a scalar has no name.
            *key = if key.is_some() { None } else { Some(scalar.unwrap_or_default()) };
        }
    }
    Ok(())
}

/// An open mapping with the key whose value comes next, or an open list.
enum OpenNode {
    Map(Option<Rc<str>>),
    List,
}

/// The keys of the value that comes next; `None` if a key comes next, or a part of one.
fn keys_of(open: &[OpenNode]) -> Option<Vec<Rc<str>>> {
    let maps = open.iter().filter_map(|node| match node {
        OpenNode::Map(key) => Some(key.clone()),
        OpenNode::List => None,
    });
    maps.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalars(yaml: &str) -> Result<Vec<(String, String)>, String> {
        let mut found = Vec::new();
        visit_scalars(yaml, &mut |keys, text| found.push((keys.join("."), text.to_owned())))?;
        Ok(found)
    }

    /// PyYAML loads the same from all but the last, where a key is a mapping.
    #[test]
    fn a_setting_has_its_keys_in_every_style() {
        let expected = Ok(vec![("model.params.size".to_owned(), "v".to_owned())]);
        for yaml in [
            "model:\n  params:\n    size: v\n",
            "model:\r\n  params:\r\n    size : 'v' # a comment\r\n",
            "\u{feff}# first\n---\nmodel: {params: {\"size\": \"v\"}}\n...\n",
            "{\"model\": {\"params\": {\"size\": \"\\x76\"}}}",
            "model:\n  ? params\n  : size: |-\n      v\n",
            "model:\n  params:\n    size:\n    - !!str v\n",
            "? {model: {params: {size: w}}}\n: [{}]\nmodel: {params: {size: v}}\n",
        ] {
            assert_eq!(scalars(yaml), expected, "{yaml}");
        }
    }

    #[test]
    fn an_alias_is_what_it_names_and_cannot_repeat_without_end() {
        let named = scalars("a: &x v\nb: [*x, *x]\nc: &y {d: 1}\ne: *y\n").expect("YAML");
        let expected = [("a", "v"), ("b", "v"), ("b", "v"), ("c.d", "1")];
        assert_eq!(named, expected.map(|(keys, text)| (keys.to_owned(), text.to_owned())));
        let bomb = format!("a: &x {}\nb: [{}]", "x".repeat(1000), "*x, ".repeat(100));
        assert!(scalars(&bomb).is_err());
        assert!(scalars("a: [b").is_err() && scalars("a: *x").is_err());
    }
}
