//! `render --attention`: the attention map of each word of the prompt, in one labelled picture.

use std::ops::Range;
use std::path::Path;

use engine::format::human_size;
use engine::images::{Grid, Pixels, Provenance, replace_png};
use engine::inspect::attention_maps::{attention_bytes, attention_maps, mask_by_map};
use engine::pipeline::{Pipeline, StopFlag};
use engine::recipe::RecordedRun;

use super::{Failure, progress};

/// Words in one picture; further words are left out.
const MAX_WORDS: usize = 16;

/// Writes the first picture, followed by a copy for each word, lit where the attention to the word is high.
pub fn write(
    path: &Path,
    pipeline: &Pipeline,
    run: &RecordedRun,
    picture: &Pixels,
    stop: &StopFlag,
) -> Result<(), Failure> {
    let recipe = &run.recipe;
    let bytes = attention_bytes(pipeline.info(), pipeline.prompt_tokenizer(), recipe);
    eprintln!("The attention maps take {} of memory", human_size(bytes));
    let bar = progress::fraction_bar("computing the attention maps");
    let maps = attention_maps(pipeline, run, 0, 0, stop, &mut |fraction| {
        progress::set_fraction(&bar, fraction);
    });
    bar.finish_and_clear();
    let maps = maps.map_err(Failure::failed)?;

    let parsed = pipeline.prompt_tokenizer().read(&recipe.prompt, &recipe.text, recipe.steps as usize);
    let text = parsed.parts[0].at(0);
    let mut words = text.words(&recipe.prompt);
    words.truncate(MAX_WORDS);
    let label = |range: &Range<usize>| recipe.prompt.get(range.clone()).unwrap_or_default().to_owned();
    let columns: Vec<String> =
        [String::new()].into_iter().chain(words.iter().map(|(range, _)| label(range))).collect();
    let mut grid = Grid::new(&columns, &[String::new()], (picture.width, picture.height));
    grid.put(0, 0, picture);
    for (column, (_, tokens)) in (1..).zip(&words) {
        grid.put(column, 0, &mask_by_map(picture, &maps.of(tokens.clone()), [maps.height, maps.width]));
    }
    let info = pipeline.info();
    let concepts = pipeline.concepts_in(recipe);
    let provenance = Provenance::of_run(&info.name, info.vae.clone(), recipe.of_picture(0), concepts);
    replace_png(path, grid.picture(), &provenance).map_err(Failure::failed)
}
