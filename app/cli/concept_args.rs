//! `--concept`: files, and folders of files, that a prompt may name.

use std::path::PathBuf;

use clap::Args;
use engine::concepts::{Concept, ConceptSet, concept_files_in, read};
use engine::pipeline::Pipeline;
use engine::recipe::Recipe;

use super::Failure;

#[derive(Debug, Args)]
pub struct ConceptArgs {
    /// A concept (textual inversion) that the prompt may name, or a folder of them; may be repeated
    #[arg(long = "concept", value_name = "FILE")]
    pub concepts: Vec<PathBuf>,
}

/// The concepts of a command line.
pub struct LoadedConcepts {
    pub all: ConceptSet,
    /// Those that were named one by one, so that they are meant to be used.
    single: Vec<Concept>,
    pub warnings: Vec<String>,
}

impl LoadedConcepts {
    /// Reads them, so that a broken one is known before a model is opened.
    pub fn read(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut given = Self { all: ConceptSet::default(), single: Vec::new(), warnings: Vec::new() };
        for path in paths {
            if !path.is_dir() {
                let concept = read(path).map_err(Failure::failed)?;
                given.single.push(concept.clone());
                given.all.add(concept);
                continue;
            }
            let files = concept_files_in(path);
            if files.is_empty() {
                given.warnings.push(format!("There are no concepts in this folder: {}", path.display()));
            }
            for file in files {
                match read(&file) {
                    Ok(concept) => given.all.add(concept),
                    Err(error) => given.warnings.push(error.to_string()),
                }
            }
        }
        let replaced = given.all.iter().filter(|concept| given.all.instead_of(concept).is_some());
        given.warnings.extend(replaced.map(|concept| {
            let Concept { token, source, .. } = &**concept;
            format!("Two concepts are called {token}, so this one is not used: {}", source.display())
        }));
        Ok(given)
    }

    /// Makes them known to a model; one that was given by itself must fit.
    pub fn join(&self, pipeline: &mut Pipeline) -> Result<(), Failure> {
        for concept in &self.single {
            concept.check_width(pipeline.info().text_width).map_err(Failure::failed)?;
        }
        pipeline.set_concepts(&self.all);
        Ok(())
    }

    /// What to say of those that no prompt uses.
    pub fn unused(&self, pipeline: &Pipeline, recipe: &Recipe) -> Vec<String> {
        let used = pipeline.concepts_in(recipe);
        let is_unused = |concept: &&Concept| !used.contains(&concept.reference());
        let remark = |Concept { token, source, .. }: &Concept| {
            format!("The concept {token} is not used, since nothing names it: {}", source.display())
        };
        self.single.iter().filter(is_unused).map(remark).collect()
    }
}
