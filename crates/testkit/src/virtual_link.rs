//! A link in memory: delay, rate, queue, largest packet, loss, reordering, duplicates, black holes.
//!
//! Unlike [`delay_link`](crate::delay_link) it opens no socket and has no task, so a test under tokio's paused clock runs over it in
//! virtual time: a second of traffic takes as long as the code under test needs for it, and the same seed gives the same
//! network again. Timers of tokio have a grain of 1 ms, so a datagram may arrive up to that much late, never early.

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fmt,
    future::Future,
    num::NonZeroU64,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until};

use crate::delay_link::{Lots, Traffic};

/// Held back at least so long, a datagram is overtaken by later ones.
const HELD_BACK: Duration = Duration::from_millis(5);

/// What a line does to a datagram. Shares are in thousandths of all datagrams, each drawn for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Time from one end to the other, once a datagram has left the queue.
    pub delay: Duration,
    /// Bytes a second that leave the queue; `None` for no limit.
    pub rate: Option<NonZeroU64>,
    /// Bytes that may wait for the rate; what does not fit is dropped, as by a router.
    pub queue_bytes: usize,
    /// Larger datagrams are dropped without a word.
    pub largest: usize,
    /// Share that never arrives.
    pub loss: u16,
    /// Share that is held back for another [`Shape::delay`] and at least 5 ms.
    pub reorder: u16,
    /// Share that arrives twice.
    pub duplicate: u16,
}

impl Shape {
    /// A line that only delays.
    pub fn delay(delay: Duration) -> Self {
        Self { delay, rate: None, queue_bytes: usize::MAX, largest: usize::MAX, loss: 0, reorder: 0, duplicate: 0 }
    }

    /// A line that delays and takes so many bits a second, with a queue for `queue_bytes`.
    pub fn shaped(delay: Duration, bits_per_sec: u64, queue_bytes: usize) -> Self {
        Self { rate: NonZeroU64::new(bits_per_sec / 8), queue_bytes, ..Self::delay(delay) }
    }
}

/// One direction of a link. Clones are handles to the same line.
#[derive(Clone)]
pub struct Line {
    state: Arc<Mutex<State>>,
}

impl Line {
    /// A line that draws its lots from `seed`.
    pub fn new(shape: Shape, seed: u64) -> Self {
        let state = State {
            shape,
            lots: Lots(seed),
            cut: false,
            idle_at: None,
            under_way: BinaryHeap::new(),
            order: 0,
            timer: None,
            reader: None,
            traffic: Traffic::default(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Puts a datagram on the line. It is taken at once, whatever becomes of it.
    pub fn send(&self, datagram: &[u8]) {
        let reader = {
            let mut state = self.state();
            state.enter(datagram, Instant::now());
            state.reader.take()
        };
        // The reader sets its timer by what is under way, so it has to look again.
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// Takes the next datagram that has arrived. For one reader alone.
    pub fn poll_recv(&self, cx: &mut Context<'_>) -> Poll<Vec<u8>> {
        let mut state = self.state();
        loop {
            let Some(Reverse(next)) = state.under_way.peek() else {
                state.reader = Some(cx.waker().clone());
                return Poll::Pending;
            };
            let due = next.due;
            if due <= Instant::now() {
                let arrived = state.under_way.pop().map(|Reverse(datagram)| datagram.bytes);
                return Poll::Ready(arrived.unwrap_or_default());
            }
            let timer = state.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
            timer.as_mut().reset(due);
            if timer.as_mut().poll(cx).is_pending() {
                state.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
    }

    /// Waits for the next datagram.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no datagram.
    pub async fn recv(&self) -> Vec<u8> {
        std::future::poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Changes the line from the next datagram on.
    pub fn set(&self, shape: Shape) {
        self.state().shape = shape;
    }

    /// Lets nothing more in until [`Line::heal`]. What is under way still arrives.
    pub fn cut(&self) {
        self.state().cut = true;
    }

    /// Lets datagrams in again.
    pub fn heal(&self) {
        self.state().cut = false;
    }

    /// What entered the line since the start, and how much of it was dropped.
    pub fn traffic(&self) -> Traffic {
        self.state().traffic
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("Line").field("shape", &state.shape).field("traffic", &state.traffic).finish_non_exhaustive()
    }
}

struct State {
    shape: Shape,
    lots: Lots,
    cut: bool,
    /// When the queue will be empty.
    idle_at: Option<Instant>,
    under_way: BinaryHeap<Reverse<Datagram>>,
    order: u64,
    timer: Option<Pin<Box<Sleep>>>,
    reader: Option<Waker>,
    traffic: Traffic,
}

impl State {
    fn enter(&mut self, bytes: &[u8], now: Instant) {
        self.traffic.datagrams += 1;
        self.traffic.bytes += bytes.len() as u64;
        let Some(left) = self.leaves_queue(bytes.len(), now).filter(|_| !self.lots.drawn(self.shape.loss)) else {
            self.traffic.lost += 1;
            return;
        };
        let mut due = left + self.shape.delay;
        if self.lots.drawn(self.shape.reorder) {
            due += self.shape.delay.max(HELD_BACK);
        }
        let copies = if self.lots.drawn(self.shape.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            self.under_way.push(Reverse(Datagram { due, order: self.order, bytes: bytes.to_vec() }));
            self.order += 1;
        }
    }

    /// When a datagram leaves the queue that it enters now, or `None` if there is no way in.
    fn leaves_queue(&mut self, bytes: usize, now: Instant) -> Option<Instant> {
        if self.cut || bytes > self.shape.largest {
            return None;
        }
        let Some(rate) = self.shape.rate else { return Some(now) };
        let start = self.idle_at.map_or(now, |idle_at| idle_at.max(now));
        let waiting = (start - now).as_nanos() * u128::from(rate.get()) / 1_000_000_000;
        if waiting + bytes as u128 > self.shape.queue_bytes as u128 {
            return None;
        }
        let left = start + Duration::from_nanos((bytes as u64).saturating_mul(1_000_000_000) / rate);
        self.idle_at = Some(left);
        Some(left)
    }
}

/// A datagram on its way; those of the same time leave in the order in which they entered.
struct Datagram {
    due: Instant,
    order: u64,
    bytes: Vec<u8>,
}

impl PartialEq for Datagram {
    fn eq(&self, other: &Self) -> bool {
        (self.due, self.order) == (other.due, other.order)
    }
}

impl Eq for Datagram {}

impl PartialOrd for Datagram {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Datagram {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.order).cmp(&(other.due, other.order))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Everything that arrives, with the time since `start`, until the line is quiet for a second.
    async fn drain(line: &Line, start: Instant) -> Vec<(Duration, Vec<u8>)> {
        let mut arrived = Vec::new();
        while let Ok(datagram) = timeout(1000 * MS, line.recv()).await {
            arrived.push((start.elapsed(), datagram));
        }
        arrived
    }

    #[tokio::test(start_paused = true)]
    async fn a_datagram_takes_the_delay_and_no_time_of_the_clock_on_the_wall() {
        let line = Line::new(Shape::delay(Duration::from_secs(3600)), 1);
        let start = Instant::now();
        line.send(b"a");
        assert_eq!(line.recv().await, b"a");
        assert_eq!(start.elapsed(), Duration::from_secs(3600));
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_is_kept() {
        // 1000 bytes a millisecond.
        let line = Line::new(Shape::shaped(10 * MS, 8_000_000, 1 << 20), 1);
        let start = Instant::now();
        for _ in 0..100 {
            line.send(&[0; 1000]);
        }
        let arrived = drain(&line, start).await;
        assert_eq!(arrived.len(), 100);
        assert_eq!((arrived[0].0, arrived[49].0, arrived[99].0), (11 * MS, 60 * MS, 110 * MS));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_queue_cannot_hold_is_dropped_and_counted() {
        let line = Line::new(Shape::shaped(MS, 8_000_000, 10_000), 1);
        let start = Instant::now();
        for number in 0..30 {
            line.send(&[number; 1000]);
        }
        let first = drain(&line, start).await;
        assert_eq!(first.iter().map(|(_, bytes)| bytes[0]).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        assert_eq!(line.traffic(), Traffic { datagrams: 30, bytes: 30_000, lost: 20 });
        line.send(&[30; 1000]);
        assert_eq!(drain(&line, start).await.len(), 1, "the queue has emptied meanwhile");
    }

    #[tokio::test(start_paused = true)]
    async fn datagrams_above_the_largest_size_vanish() {
        let line = Line::new(Shape { largest: 1300, ..Shape::delay(MS) }, 1);
        for size in [1300, 1301, 1200] {
            line.send(&vec![0; size]);
        }
        let sizes = drain(&line, Instant::now()).await.into_iter().map(|(_, bytes)| bytes.len()).collect::<Vec<_>>();
        assert_eq!(sizes, [1300, 1200]);
    }

    #[tokio::test(start_paused = true)]
    async fn shares_are_kept_and_the_same_seed_gives_the_same_network() {
        let shape = Shape { loss: 100, duplicate: 100, reorder: 100, ..Shape::delay(3 * MS) };
        let run = async |seed| {
            let line = Line::new(shape, seed);
            let start = Instant::now();
            for number in 0..1000u16 {
                line.send(&number.to_be_bytes());
            }
            (drain(&line, start).await, line.traffic().lost)
        };
        let (first, lost) = run(7).await;
        assert!((70..130).contains(&lost), "{lost}");
        let late = first.iter().filter(|(at, _)| *at == 8 * MS).count();
        assert!((60..160).contains(&late), "{late}");
        let twice = first.len() as u64 + lost - 1000;
        assert!((60..130).contains(&twice), "{twice}");
        assert_eq!(run(7).await, (first.clone(), lost));
        assert_ne!(run(8).await.0, first);
    }

    #[tokio::test(start_paused = true)]
    async fn a_black_hole_swallows_what_enters_and_not_what_is_under_way() {
        let line = Line::new(Shape::delay(10 * MS), 1);
        line.send(b"before");
        line.cut();
        line.send(b"during");
        assert_eq!(line.recv().await, b"before");
        line.heal();
        line.send(b"after");
        assert_eq!(line.recv().await, b"after");
        assert_eq!(line.traffic().lost, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_waits_is_woken_by_a_datagram_that_overtakes() {
        let line = Line::new(Shape::delay(100 * MS), 1);
        let start = Instant::now();
        line.send(b"slow");
        line.set(Shape::delay(20 * MS));
        let send = async {
            tokio::time::sleep(10 * MS).await;
            line.send(b"fast");
        };
        let receive = async {
            let first = line.recv().await;
            (first, start.elapsed(), line.recv().await, start.elapsed())
        };
        let ((), received) = tokio::join!(send, receive);
        assert_eq!(received, (b"fast".to_vec(), 30 * MS, b"slow".to_vec(), 100 * MS));
    }
}
