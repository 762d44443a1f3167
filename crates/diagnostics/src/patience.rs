//! Questions that may never be answered, such as how full a dead network file system is.
//!
//! Each is asked on a thread of its own. Who asks looks for answers now and then, and waits for none of them longer than
//! a moment. The kernel gives no way to take such a question back, so a thread whose answer never comes stays until the
//! program ends: at most one for each key, because nothing is asked again while it is unanswered.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use wire::time::Moment;

/// Threads that may wait at once; further questions are refused.
const MAX_WAITING: usize = 2 * wire::diagnostics::MAX_ROWS;

/// A question's thread needs little room. What it does not touch costs nothing.
const STACK_BYTES: usize = 256 * 1024;

#[derive(Debug)]
pub(crate) struct Patience<K, T> {
    shared: Arc<Shared<K, T>>,
    waiting: BTreeMap<K, Moment>,
    fresh: usize,
}

#[derive(Debug)]
struct Shared<K, T> {
    answers: Mutex<Vec<(K, T)>>,
    arrived: Condvar,
}

impl<K: Ord + Clone + Send + 'static, T: Send + 'static> Patience<K, T> {
    pub(crate) fn new() -> Self {
        let shared = Shared { answers: Mutex::new(Vec::new()), arrived: Condvar::new() };
        Self { shared: Arc::new(shared), waiting: BTreeMap::new(), fresh: 0 }
    }

    /// Asks `question` under `key`, unless the last one under that key is still unanswered.
    pub(crate) fn ask(
        &mut self,
        key: &K,
        now: Moment,
        question: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<()> {
        if self.waiting.contains_key(key) {
            return Ok(());
        }
        if self.waiting.len() >= MAX_WAITING {
            return Err(io::Error::other("too many others do not answer"));
        }
        let shared = Arc::clone(&self.shared);
        let answered = key.clone();
        thread::Builder::new().name("diagnostics".to_owned()).stack_size(STACK_BYTES).spawn(move || {
            let answer = question();
            shared.answers.lock().unwrap_or_else(PoisonError::into_inner).push((answered, answer));
            shared.arrived.notify_one();
        })?;
        self.waiting.insert(key.clone(), now);
        self.fresh += 1;
        Ok(())
    }

    /// The answers that came since the last call. Waits up to `grace` for those that were asked since then.
    pub(crate) fn answers(&mut self, grace: Duration) -> Vec<(K, T)> {
        let fresh = std::mem::take(&mut self.fresh);
        let answers = self.shared.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut answers, _) = self
            .shared
            .arrived
            .wait_timeout_while(answers, grace, |answers| answers.len() < fresh)
            .unwrap_or_else(PoisonError::into_inner);
        let answers = std::mem::take(&mut *answers);
        for (key, _) in &answers {
            self.waiting.remove(key);
        }
        answers
    }

    /// Since when the question under `key` is unanswered.
    pub(crate) fn waiting_since(&self, key: &K) -> Option<Moment> {
        self.waiting.get(key).copied()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_question_that_is_never_answered_holds_up_nobody_and_is_not_asked_again() {
        let (release, blocked) = mpsc::channel::<()>();
        let mut patience = Patience::new();
        let start = Moment::default();
        patience
            .ask(&"dead", start, move || {
                blocked.recv().unwrap_err();
                1
            })
            .unwrap();
        patience.ask(&"alive", start, || 2).unwrap();
        let mut answers = patience.answers(Duration::from_millis(50));
        if answers.is_empty() {
            answers = patience.answers(Duration::from_secs(60));
        }
        assert_eq!(answers, [("alive", 2)]);
        patience.ask(&"dead", start + Duration::from_secs(5), || unreachable!("it is still unanswered")).unwrap();
        assert_eq!(patience.waiting_since(&"dead"), Some(start));

        drop(release);
        while patience.waiting_since(&"dead").is_some() {
            patience.fresh = 1;
            patience.answers(Duration::from_secs(60));
        }
        patience.ask(&"dead", start, || 3).unwrap();
        assert_eq!(patience.answers(Duration::from_secs(60)), [("dead", 3)]);
    }

    #[test]
    fn there_is_a_bound_to_the_threads_that_wait() {
        let (release, blocked) = mpsc::channel::<()>();
        let blocked = Arc::new(Mutex::new(blocked));
        let mut patience = Patience::new();
        for key in 0..MAX_WAITING {
            let blocked = Arc::clone(&blocked);
            patience.ask(&key, Moment::default(), move || blocked.lock().unwrap().recv().unwrap_err()).unwrap();
        }
        assert!(patience.ask(&MAX_WAITING, Moment::default(), || mpsc::RecvError).is_err());
        drop(release);
    }
}
