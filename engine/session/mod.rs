//! The engine behind two channels: requests in, events out, one named thread between them.

pub(crate) mod inspect;
pub(crate) mod model_cache;

mod event;
mod request;
mod worker;

pub use event::{AnimationEvent, AttentionEvent, Event, JobEvent, ModelEvent};
pub use inspect::{ImageSource, InspectRequest, InspectResult};
pub use request::{Job, JobId, Request};
pub use worker::Session;
