//! The engine behind two channels: requests in, events out, one named thread between them.

mod event;
mod looking;
mod models;
mod request;
mod worker;

pub use event::{AttendEvent, CutEvent, Event, Frame, JobEvent, ModelCard, ModelEvent};
pub use looking::{Look, PictureAt, Seen};
pub use request::{Job, JobId, Request, StopFlag};
pub use worker::Session;
