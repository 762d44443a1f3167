//! "What else was odd then?" Netdata's method: two clusters of what the recent movement of a figure looked like, several models from
//! different hours, and odd is only what all of them find odd.
//!
//! It ranks evidence. It never raises anything by itself.

use std::collections::VecDeque;

use super::trend::{f64_of, median};

/// Most models that vote.
pub const MAX_MODELS: usize = 18;

/// Values that a feature is smoothed over.
const SMOOTH: usize = 3;
/// Features of one vector: the newest difference and five before it.
const FEATURES: usize = 6;
/// Values that one vector needs.
const NEEDED: usize = FEATURES + SMOOTH;
/// Most vectors that a model learns from; more are thinned.
const MAX_VECTORS: usize = 1440;
const ITERATIONS: usize = 20;

type Vector = [f64; FEATURES];

/// What one stretch of time looked like.
#[derive(Debug, Clone, Copy)]
pub struct Model {
    centres: [Vector; 2],
    /// 99 of 100 vectors that it learned from are no further away.
    limit: f64,
}

impl Model {
    /// Learns from `values`, oldest first; none of fewer than a hundred.
    pub fn train(values: &[i64]) -> Option<Self> {
        let all = vectors(values);
        let every = all.len().div_ceil(MAX_VECTORS).max(1);
        let vectors = all.into_iter().step_by(every).collect::<Vec<_>>();
        if vectors.len() < 100 {
            return None;
        }
        let mut centres = start(&vectors)?;
        for _ in 0..ITERATIONS {
            let moved = refine(&vectors, centres);
            if moved == centres {
                break;
            }
            centres = moved;
        }
        let mut model = Self { centres, limit: 0.0 };
        let mut scores = vectors.iter().map(|vector| model.score(vector)).collect::<Vec<_>>();
        scores.sort_by(f64::total_cmp);
        model.limit = *scores.get(scores.len() * 99 / 100)?;
        Some(model)
    }

    /// Mean distance from the centres.
    fn score(&self, vector: &Vector) -> f64 {
        let [a, b] = &self.centres;
        (distance(a, vector).sqrt() + distance(b, vector).sqrt()) / 2.0
    }
}

/// The models of one figure, from different hours.
#[derive(Debug, Clone, Default)]
pub struct Vote {
    models: VecDeque<Model>,
}

impl Vote {
    /// Adds a model, in place of the oldest if there are [`MAX_MODELS`].
    pub fn add(&mut self, model: Model) {
        if self.models.len() == MAX_MODELS {
            self.models.pop_front();
        }
        self.models.push_back(model);
    }

    /// How much of `values`, oldest first, every model finds odd, in 0..=1. None without a model or with too few values.
    pub fn oddness(&self, values: &[i64]) -> Option<f64> {
        let vectors = vectors(values);
        if self.models.is_empty() || vectors.is_empty() {
            return None;
        }
        let odd = |vector: &&Vector| self.models.iter().all(|model| model.score(vector) > model.limit);
        Some(count(vectors.iter().filter(odd).count()) / count(vectors.len()))
    }
}

/// Differences, smoothed, each with the five before it.
fn vectors(values: &[i64]) -> Vec<Vector> {
    let smooth = |window: &[i64]| {
        // The mean of three differences is a third of the one over three steps.
        let (first, last) = (window.first().copied().unwrap_or(0), window.last().copied().unwrap_or(0));
        f64_of(i128::from(last) - i128::from(first)) / count(SMOOTH)
    };
    let windows = values.windows(NEEDED);
    windows
        .map(|window| {
            let mut vector = [0.0; FEATURES];
            for (feature, part) in vector.iter_mut().zip(window.windows(SMOOTH + 1)) {
                *feature = smooth(part);
            }
            vector
        })
        .collect()
}

/// The vector in the middle and the one farthest from it.
fn start(vectors: &[Vector]) -> Option<[Vector; 2]> {
    let mut middle = [0.0; FEATURES];
    for (index, feature) in middle.iter_mut().enumerate() {
        *feature = median(&mut vectors.iter().filter_map(|vector| vector.get(index).copied()).collect::<Vec<_>>())?;
    }
    let far = vectors.iter().max_by(|a, b| distance(&middle, a).total_cmp(&distance(&middle, b)))?;
    Some([middle, *far])
}

/// One step of Lloyd's algorithm.
fn refine(vectors: &[Vector], centres: [Vector; 2]) -> [Vector; 2] {
    let [a, b] = &centres;
    let mean = |near: bool, old: &Vector| {
        let mut sum = [0.0; FEATURES];
        let mut members = 0;
        for vector in vectors.iter().filter(|vector| (distance(a, vector) <= distance(b, vector)) == near) {
            members += 1;
            sum.iter_mut().zip(vector).for_each(|(sum, feature)| *sum += feature);
        }
        if members == 0 { *old } else { sum.map(|sum| sum / count(members)) }
    };
    [mean(true, a), mean(false, b)]
}

fn distance(a: &Vector, b: &Vector) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

fn count(of: usize) -> f64 {
    f64_of(i128::try_from(of).unwrap_or(i128::MAX))
}
