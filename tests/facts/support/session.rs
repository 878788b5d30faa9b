//! An engine on its thread, with the built-in model on the CPU.

use engine::checkpoint::ModelSource;
use engine::concepts::ConceptSet;
use engine::device::{DeviceChoice, DeviceSelector};
use engine::pipeline::StopFlag;
use engine::recipe::Recipe;
use engine::session::{Job, JobId, Request, Session};

pub fn open_built_in() -> Session {
    let session = Session::start(|| ());
    let device = DeviceChoice { device: DeviceSelector::Cpu, ..DeviceChoice::default() };
    let stop = StopFlag::default();
    session.send(Request::OpenModel { source: ModelSource::BuiltIn, vae: None, device, stop });
    session
}

/// Requests the pictures of a recipe, and keeps the run.
pub fn generate(session: &Session, job: u64, recipe: Recipe) {
    session.send(Request::Generate {
        job: Job { id: JobId(job), stop: StopFlag::default() },
        recipe: Box::new(recipe),
        concepts: ConceptSet::default(),
        recorded_by: None,
        keeps_run: true,
    });
}
