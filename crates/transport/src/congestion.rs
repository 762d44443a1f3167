//! How much may be under way: a controller that fills a path, lossy or not, and keeps its queue short.
//!
//! CUBIC takes every lost packet for a full queue: at one lost packet in a hundred and 80 ms it uses a tenth of 20 Mbit/s; and where
//! nothing is lost it fills the queue, and a keystroke waits behind a file. This one goes by what arrives:
//!
//! - The window is what the path delivers in its shortest round trip, plus a short queue (the model of BBR,
//!   draft-ietf-ccwg-bbr-03, without its pacing: quinn paces by the window, so there is no rate to set). If the path becomes faster, the
//!   queue turns into speed and the next round has a larger window.
//! - Loss says little. Only what is lost *more* with the queue than without it costs the queue its place.
//! - Next to a flow that fills the queue, a short window starves. When the queue stays long although this flow keeps its own
//!   short, it takes a share as CUBIC would (RFC 9438), and every five seconds drains its part to see whether the other is gone: the
//!   two modes are Copa's (Arun and Balakrishnan, NSDI 2018, section 2.2), the look at an empty path is BBR's.
//!
//! | module | |
//! |---|---|
//! | `rate` | how fast the path delivers |
//! | `cubic` | the window next to a greedy flow |
//! | `model` | the phases, and the window |
//! | `epoch` | a fresh controller for each path, on the side where quinn does not see the change |

mod cubic;
mod epoch;
mod model;
mod rate;

use std::{any::Any, sync::Arc, time::Instant};

use quinn_proto::{
    RttEstimator,
    congestion::{Controller, ControllerFactory},
};

pub(crate) use self::epoch::AfreshOnChange;
use self::model::Model;

/// What a session may have under way before anything is known of the path.
const INITIAL_WINDOW: u64 = 24_000;

/// Makes a controller for each path.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ShortQueue;

impl ControllerFactory for ShortQueue {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(ShortQueueController { model: Model::new(now, INITIAL_WINDOW, current_mtu) })
    }
}

#[derive(Debug, Clone)]
struct ShortQueueController {
    model: Model,
}

impl Controller for ShortQueueController {
    fn on_sent(&mut self, now: Instant, bytes: u64, _last_packet_number: u64) {
        self.model.on_sent(now, bytes);
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, app_limited: bool, _rtt: &RttEstimator) {
        self.model.on_ack(now, sent, bytes, app_limited);
    }

    fn on_end_acks(&mut self, _now: Instant, in_flight: u64, _app_limited: bool, _largest: Option<u64>) {
        self.model.set_in_flight(in_flight);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, is_persistent_congestion: bool, lost_bytes: u64) {
        match lost_bytes {
            0 => self.model.on_mark(now, sent),
            lost => self.model.on_loss(now, sent, lost, is_persistent_congestion),
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.model.set_mtu(new_mtu);
    }

    fn window(&self) -> u64 {
        self.model.window()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        INITIAL_WINDOW
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

#[cfg(test)]
pub(crate) mod tests;
