//! The engine on its own thread: requests in, events out, over two channels.

pub(crate) mod inspect;
pub(crate) mod model_cache;

mod event;
mod map_watch;
mod request;
mod worker;

pub use event::{AnimationEvent, AttentionEvent, Event, JobEvent, ModelEvent};
pub use inspect::{ImageSource, InspectRequest, InspectResult};
pub use request::{Job, JobId, MapRequest, Request};
pub use worker::Session;
