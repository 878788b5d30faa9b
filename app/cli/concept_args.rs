//! `--concept`: concepts that prompts can use, from files and folders.

use std::path::PathBuf;

use clap::Args;
use engine::concepts::{Concept, ConceptSet, concept_files_in, read};
use engine::pipeline::Pipeline;
use engine::recipe::Recipe;

use super::Failure;

#[derive(Debug, Args)]
pub struct ConceptArgs {
    /// A concept (textual inversion) that the prompt can use, or a folder of them. Can be repeated
    #[arg(long = "concept", value_name = "FILE")]
    pub concepts: Vec<PathBuf>,
}

/// The concepts given on the command line.
pub struct LoadedConcepts {
    pub all: ConceptSet,
    /// Those given as single files, which the user surely means to use.
    single: Vec<Concept>,
    pub warnings: Vec<String>,
}

impl LoadedConcepts {
    /// Reads them before a model is opened, so that a broken file is reported at once.
    pub fn read(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut loaded = Self { all: ConceptSet::default(), single: Vec::new(), warnings: Vec::new() };
        for path in paths {
            if !path.is_dir() {
                let concept = read(path).map_err(Failure::failed)?;
                loaded.single.push(concept.clone());
                loaded.all.add(concept);
                continue;
            }
            let files = concept_files_in(path);
            if files.is_empty() {
                loaded.warnings.push(format!("This folder contains no concepts: {}", path.display()));
            }
            for file in files {
                match read(&file) {
                    Ok(concept) => loaded.all.add(concept),
                    Err(error) => loaded.warnings.push(error.to_string()),
                }
            }
        }
        let replaced = loaded.all.iter().filter(|concept| loaded.all.shadowed_by(concept).is_some());
        loaded.warnings.extend(replaced.map(|concept| {
            let Concept { token, source, .. } = &**concept;
            format!("Another concept is also named {token}, so this one is not used: {}", source.display())
        }));
        Ok(loaded)
    }

    /// Adds them to a model. One given as a single file must fit it.
    pub fn add_to(&self, pipeline: &mut Pipeline) -> Result<(), Failure> {
        for concept in &self.single {
            concept.check_width(pipeline.info().text_width).map_err(Failure::failed)?;
        }
        pipeline.set_concepts(&self.all);
        Ok(())
    }

    /// A warning for each concept that was given as a single file and that no prompt uses.
    pub fn unused(&self, pipeline: &Pipeline, recipe: &Recipe) -> Vec<String> {
        let used = pipeline.concepts_in(recipe);
        let is_unused = |concept: &&Concept| !used.contains(&concept.reference());
        let warning = |Concept { token, source, .. }: &Concept| {
            format!("No prompt uses the concept {token}: {}", source.display())
        };
        self.single.iter().filter(is_unused).map(warning).collect()
    }
}
