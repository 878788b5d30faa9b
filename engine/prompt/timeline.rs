//! Values that change over the steps of a run, such as the text of `[a:b:0.5]`.

/// A value for each step of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Timeline<T> {
    /// The last step that each value holds for, from 0, rising; `usize::MAX` for the last value.
    until: Vec<(usize, T)>,
}

impl<T> Timeline<T> {
    /// From each value's last step, in order. The last value holds to the end, whatever its step is.
    ///
    /// # Panics
    /// If there is no value.
    pub fn new(mut until: Vec<(usize, T)>) -> Self {
        until.last_mut().expect("a timeline has at least one value").0 = usize::MAX;
        Self { until }
    }

    pub fn constant(value: T) -> Self {
        Self::new(vec![(usize::MAX, value)])
    }

    /// The value at a step, from 0.
    pub fn at(&self, step: usize) -> &T {
        let index = self.until.partition_point(|(last, _)| *last < step);
        &self.until[index].1
    }

    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.until.iter().map(|(_, value)| value)
    }

    /// The last step of each value, `usize::MAX` for the last one.
    pub fn ends(&self) -> impl Iterator<Item = usize> {
        self.until.iter().map(|(last, _)| *last)
    }

    pub fn map<U>(&self, mut f: impl FnMut(&T) -> U) -> Timeline<U> {
        Timeline { until: self.until.iter().map(|(last, value)| (*last, f(value))).collect() }
    }

    pub fn try_map<U, E>(&self, mut f: impl FnMut(&T) -> Result<U, E>) -> Result<Timeline<U>, E> {
        let until = self.until.iter().map(|(last, value)| Ok((*last, f(value)?)));
        Ok(Timeline { until: until.collect::<Result<_, E>>()? })
    }
}

/// One of the prompts that AND composes, as a text, as tokens or as embeddings.
#[derive(Clone, Debug, PartialEq)]
pub struct PromptPart<T> {
    pub weight: f32,
    pub timeline: Timeline<T>,
}

impl<T> PromptPart<T> {
    pub fn at(&self, step: usize) -> &T {
        self.timeline.at(step)
    }

    pub fn try_map<U, E>(&self, f: impl FnMut(&T) -> Result<U, E>) -> Result<PromptPart<U>, E> {
        Ok(PromptPart { weight: self.weight, timeline: self.timeline.try_map(f)? })
    }
}

/// The last steps of the stretches over which none of several parts changes, in order.
pub fn merged_ends<'a, T: 'a>(parts: impl IntoIterator<Item = &'a PromptPart<T>>) -> Vec<usize> {
    let mut ends: Vec<usize> = parts.into_iter().flat_map(|part| part.timeline.ends()).collect();
    ends.sort_unstable();
    ends.dedup();
    ends
}
