//! The engine thread: reads requests one by one and answers with events.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, unbounded};

use super::inspect::{EncodeCache, InspectRequest};
use super::map_watch::{MapMaker, WatchedMap};
use super::model_cache::ModelCache;
use super::{AnimationEvent, AttentionEvent, Event, Job, JobEvent, JobId, MapRequest, ModelEvent, Request};
use crate::checkpoint::{ModelSource, OpenError};
use crate::concepts::ConceptSet;
use crate::device::DeviceChoice;
use crate::diffusion::StepView;
use crate::images::Pixels;
use crate::inspect::attention_maps::attention_maps;
use crate::inspect::trajectory_map::MappedRun;
use crate::memory::low_memory::panic_text;
use crate::memory::mode::MemoryMode;
use crate::pipeline::animation_export::{AnimationError, AnimationOptions, animate};
use crate::pipeline::{GenerateError, OpenOptions, Pipeline, Progress, StopFlag};
use crate::recipe::{Recipe, RecordedRun};

/// Bytes of recorded runs that are kept, the newest first, to decode their steps and to continue them: about fifty
/// runs of 50 steps at 512 x 512.
const MAX_RECORDED_BYTES: usize = 512 << 20;

/// A running engine. Dropping it stops its work and waits for its thread.
pub struct Session {
    requests: Option<Sender<Request>>,
    events: Receiver<Event>,
    /// The stop flags of jobs that may not have ended, raised when the session is dropped.
    flags: Mutex<Vec<StopFlag>>,
    /// The stop flag of the latest `OpenModel` request.
    opening: Mutex<StopFlag>,
    watched_map: WatchedMap,
    closing: StopFlag,
    thread: Option<JoinHandle<()>>,
}

impl Session {
    /// Starts the thread. `wake` is called after each event, from the engine's thread.
    pub fn start(wake: impl Fn() + Send + 'static) -> Self {
        let (requests, inbox) = unbounded();
        let (sender, events) = unbounded();
        let closing = StopFlag::default();
        let watched_map = WatchedMap::default();
        let mut worker = Worker {
            events: EventSender { events: sender, wake: Box::new(wake) },
            models: ModelCache::default(),
            runs: VecDeque::new(),
            encoded: EncodeCache::default(),
            model_number: 0,
            watched_map: watched_map.clone(),
            map_maker: MapMaker::default(),
            closing: closing.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("engine".into())
            .spawn(move || {
                for request in inbox {
                    worker.answer(request);
                }
            })
            .expect("the system can start a thread");
        Self {
            requests: Some(requests),
            events,
            flags: Mutex::default(),
            opening: Mutex::default(),
            watched_map,
            closing,
            thread: Some(thread),
        }
    }

    /// Queues a request, without blocking.
    pub fn send(&self, request: Request) {
        match &request {
            Request::Generate { job: Job { stop, .. }, .. }
            | Request::ExportAnimation { stop, .. }
            | Request::ComputeAttentionMaps { stop, .. } => {
                let mut flags = self.flags.lock().unwrap_or_else(PoisonError::into_inner);
                flags.retain(|flag| !flag.is_raised());
                flags.push(stop.clone());
            }
            Request::OpenModel { stop, .. } => {
                let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::replace(&mut *opening, stop.clone()).raise();
            }
            Request::WatchMap(request) => self.watched_map.set(request.clone()),
            Request::Decode { .. } | Request::Inspect { .. } => {}
        }
        if let Some(requests) = &self.requests {
            // The thread ends only after this sender is dropped.
            let _ = requests.send(request);
        }
    }

    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.closing.raise();
        let flags = self.flags.lock().unwrap_or_else(PoisonError::into_inner);
        flags.iter().for_each(StopFlag::raise);
        drop(flags);
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Worker {
    events: EventSender,
    models: ModelCache,
    runs: VecDeque<CachedRun>,
    /// The number of the current model, counted over all that were opened.
    model_number: u64,
    encoded: EncodeCache,
    watched_map: WatchedMap,
    map_maker: MapMaker,
    closing: StopFlag,
}

struct CachedRun {
    job: JobId,
    run: RecordedRun,
    /// The model that made it, see [`Worker::model_number`].
    model_number: u64,
    /// The concepts that its prompts were read with.
    concepts: ConceptSet,
}

struct EventSender {
    events: Sender<Event>,
    wake: Box<dyn Fn() + Send>,
}

impl EventSender {
    fn send(&self, event: Event) {
        // There is no receiver while the window closes.
        let _ = self.events.send(event);
        (self.wake)();
    }

    fn job(&self, id: JobId, event: JobEvent) {
        self.send(Event::Job { id, event });
    }
}

impl Worker {
    fn answer(&mut self, request: Request) {
        if self.closing.is_raised() {
            return;
        }
        match request {
            Request::OpenModel { source, vae, device, stop } => self.open(source, vae, device, &stop),
            Request::Generate { job, recipe, concepts, recorded_by, keeps_run } => {
                let (run, event) = self.generate(&job, &recipe, &concepts, recorded_by);
                if keeps_run {
                    self.keep(CachedRun { job: job.id, run, model_number: self.model_number, concepts });
                }
                self.events.job(job.id, event);
                self.send_map();
            }
            Request::WatchMap(_) => self.send_map(),
            Request::Decode { job, step, view } => self.decode(job, step, view),
            Request::Inspect { id, request } => self.inspect(id, &request),
            Request::ComputeAttentionMaps { job, picture, part, stop } => {
                let event = self.compute_attention_maps(job, picture, part, &stop);
                self.events.send(Event::AttentionMaps { job, event });
            }
            Request::ExportAnimation { job, picture, finished, options, stop } => {
                let event = self.export_animation(job, picture, finished.as_ref(), &options, &stop);
                self.events.send(Event::Animation(event));
            }
        }
    }

    fn open(&mut self, source: ModelSource, vae: Option<PathBuf>, device: DeviceChoice, stop: &StopFlag) {
        if stop.is_raised() {
            // Nothing was opened, but the sender already expects that no model is open.
            self.models.stash();
            self.events.send(Event::Model(ModelEvent::Stopped));
            return;
        }
        self.model_number += 1;
        self.encoded = EncodeCache::default();
        if let Some(pipeline) = self.models.reuse(&source, vae.as_deref(), device) {
            let info = Box::new(pipeline.info().clone());
            self.events.send(Event::Model(ModelEvent::Opened(info)));
            return;
        }
        let Self { models, events, closing, .. } = self;
        models.stash();
        let name = source.name();
        let mut reported = -1.0;
        let opened = guarded(|| {
            let make_room = &mut |bytes| models.evict_for(bytes);
            let options = OpenOptions { device, vae: vae.as_deref(), make_room: Some(make_room) };
            Pipeline::open(&source, options, &mut |fraction| {
                if fraction - reported >= 0.01 || fraction >= 1.0 && reported < 1.0 {
                    reported = fraction;
                    events.send(Event::Model(ModelEvent::Opening { name: name.clone(), fraction }));
                }
                !stop.is_raised() && !closing.is_raised()
            })
        });
        let event = match opened {
            Ok(Ok(pipeline)) => {
                let info = pipeline.info().clone();
                models.put(source, vae, device, pipeline);
                ModelEvent::Opened(Box::new(info))
            }
            Ok(Err(OpenError::Stopped)) => ModelEvent::Stopped,
            Ok(Err(error)) => ModelEvent::Failed { text: error.to_string() },
            Err(panic) => ModelEvent::Failed { text: panic },
        };
        events.send(Event::Model(event));
    }

    /// The run, as far as it was sampled, and the event that ends the job.
    fn generate(
        &mut self,
        job: &Job,
        recipe: &Recipe,
        concepts: &ConceptSet,
        recorded_by: Option<JobId>,
    ) -> (RecordedRun, JobEvent) {
        let memory = self.models.current().map(|pipeline| pipeline.info().memory);
        self.models.evict_unless_free(memory.map_or(0, |memory| memory.bytes(recipe, MemoryMode::Full)));
        let Some(pipeline) = self.models.current_mut() else {
            let text = "No model is open, so no picture can be made. Choose a model first".into();
            return (RecordedRun::default(), JobEvent::Failed { text });
        };
        let started = Instant::now();
        let Self { events, runs, watched_map, map_maker, model_number, .. } = self;
        let kept = runs.iter().find(|kept| Some(kept.job) == recorded_by);
        let mut run = kept.map(|kept| kept.run.clone()).unwrap_or_default();
        let result = guarded(|| {
            pipeline.set_concepts(concepts);
            pipeline.generate_from(&mut run, recipe, &job.stop, &mut |progress| {
                let event = match progress {
                    Progress::Started { sigmas, start_step } => {
                        JobEvent::Started { sigmas: sigmas.to_vec(), start_step }
                    }
                    Progress::Step(frame) => JobEvent::Step(frame),
                    Progress::Recorded(steps) => {
                        let is_asked = |request: &MapRequest| request.jobs.contains(&job.id);
                        if let Some(request) = watched_map.get().filter(is_asked)
                            && map_maker.is_due()
                        {
                            let mut runs = runs_to_map(runs, *model_number);
                            runs.push(MappedRun { run: job.id.0, steps });
                            if let Some(map) = map_maker.map(&request, &runs) {
                                events.send(Event::TrajectoryMap(map));
                            }
                        }
                        return;
                    }
                };
                events.job(job.id, event);
            })
        });
        let event = match result {
            Ok(Ok(generated)) => {
                for text in generated.notes {
                    self.events.send(Event::Warning { text });
                }
                let (pictures, concepts) = (generated.pictures, generated.concepts);
                JobEvent::Finished { pictures, concepts, elapsed: started.elapsed() }
            }
            Ok(Err(GenerateError::Stopped)) => JobEvent::Stopped,
            Ok(Err(error)) => JobEvent::Failed { text: error.to_string() },
            Err(panic) => JobEvent::Failed { text: panic },
        };
        (run, event)
    }

    /// Keeps a run, and as many of the older ones as fit.
    fn keep(&mut self, run: CachedRun) {
        self.runs.push_back(run);
        let mut free = MAX_RECORDED_BYTES;
        let fits = |kept: &&CachedRun| {
            let fits = kept.run.trajectory.bytes() <= free;
            free = free.saturating_sub(kept.run.trajectory.bytes());
            fits
        };
        let kept = self.runs.iter().rev().take_while(fits).count().max(1);
        self.runs.drain(..self.runs.len() - kept);
    }

    /// Sends the map that is watched, as far as its runs are kept.
    fn send_map(&mut self) {
        let Self { events, runs, watched_map, map_maker, .. } = self;
        let Some(request) = watched_map.get() else {
            map_maker.clear();
            return;
        };
        let current = runs.iter().find(|kept| kept.job == request.current);
        let runs = current.map(|current| runs_to_map(runs, current.model_number)).unwrap_or_default();
        // A run that is no longer kept has an empty map.
        let map = map_maker.map(&request, &runs).unwrap_or_default();
        events.send(Event::TrajectoryMap(map));
    }

    fn decode(&mut self, job: JobId, step: usize, view: StepView) {
        let kept = self.run_of(job);
        let recorded = kept.and_then(|(pipeline, run)| Some((pipeline, run.trajectory.step(step)?)));
        let latents = recorded.and_then(|(pipeline, recorded)| Some((pipeline, view.latents(recorded)?)));
        let pictures = match latents {
            Some((pipeline, latents)) => guarded(|| pipeline.pictures(&latents, &self.closing))
                .unwrap_or_else(|panic| Err(GenerateError::Device(panic))),
            _ => Ok(Vec::new()),
        };
        let pictures = pictures.unwrap_or_else(|error| {
            if !matches!(error, GenerateError::Stopped) {
                self.events.send(Event::Warning { text: error.to_string() });
            }
            Vec::new()
        });
        self.events.job(job, JobEvent::Decoded { step, view, pictures });
    }

    fn inspect(&mut self, id: u64, request: &InspectRequest) {
        let Self { models, runs, encoded, closing, .. } = self;
        let run_of = |job| runs.iter().find(|kept| kept.job == job).map(|kept| &kept.run);
        let result = match models.current_mut() {
            Some(pipeline) => guarded(|| {
                if let Some(concepts) = request.concepts() {
                    pipeline.set_concepts(concepts);
                }
                encoded.answer(pipeline, run_of, request, closing)
            })
            .unwrap_or_else(Err),
            None => Err("No model is open, so there is nothing to inspect. Choose a model first".into()),
        };
        self.events.send(Event::Inspection { id, result });
    }

    /// The recorded run of a job, and the model that made it, whose decoder its latents need.
    fn run_of(&self, job: JobId) -> Option<(&Pipeline, &RecordedRun)> {
        let kept = self.runs.iter().find(|kept| kept.job == job && kept.model_number == self.model_number)?;
        Some((self.models.current()?, &kept.run))
    }

    fn compute_attention_maps(
        &mut self,
        job: JobId,
        picture: usize,
        part: usize,
        stop: &StopFlag,
    ) -> AttentionEvent {
        let Self { models, runs, events, model_number, .. } = self;
        let kept = runs.iter().find(|kept| kept.job == job && kept.model_number == *model_number);
        let (Some(pipeline), Some(kept)) = (models.current_mut(), kept) else {
            return AttentionEvent::Failed { text: TRAJECTORY_GONE.into() };
        };
        let result = guarded(|| {
            pipeline.set_concepts(&kept.concepts);
            attention_maps(pipeline, &kept.run, picture, part, stop, &mut |fraction| {
                events.send(Event::AttentionMaps { job, event: AttentionEvent::Progress { fraction } });
            })
        });
        match result {
            Ok(Ok(maps)) => AttentionEvent::Done(Arc::new(maps)),
            Ok(Err(GenerateError::Stopped)) => AttentionEvent::Stopped,
            Ok(Err(error)) => AttentionEvent::Failed { text: error.to_string() },
            Err(panic) => AttentionEvent::Failed { text: panic },
        }
    }

    fn export_animation(
        &self,
        job: JobId,
        picture: usize,
        finished: Option<&Arc<Pixels>>,
        options: &AnimationOptions,
        stop: &StopFlag,
    ) -> AnimationEvent {
        let Some((pipeline, run)) = self.run_of(job) else {
            return AnimationEvent::Failed { text: TRAJECTORY_GONE.into() };
        };
        let events = &self.events;
        let result = guarded(|| {
            let progress =
                &mut |fraction| events.send(Event::Animation(AnimationEvent::Progress { fraction }));
            animate(pipeline, &run.trajectory, picture, finished, options, stop, progress)
        });
        match result {
            Ok(Ok(animation)) => AnimationEvent::Done(Box::new(animation)),
            Ok(Err(AnimationError::Decode(GenerateError::Stopped))) => AnimationEvent::Stopped,
            Ok(Err(error)) => AnimationEvent::Failed { text: error.to_string() },
            Err(panic) => AnimationEvent::Failed { text: panic },
        }
    }
}

/// The kept runs of a model.
fn runs_to_map(runs: &VecDeque<CachedRun>, model_number: u64) -> Vec<MappedRun<'_>> {
    let of_model = runs.iter().filter(|kept| kept.model_number == model_number);
    of_model.map(|kept| MappedRun { run: kept.job.0, steps: kept.run.trajectory.recorded_steps() }).collect()
}

const TRAJECTORY_GONE: &str =
    "The steps of this picture are no longer in memory. Make it again with its seed";

/// Runs `work`. A panic in it becomes a sentence.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        format!("Tidepool has a bug ({}). The next picture may work; please report this", panic_text(&*panic))
    })
}
