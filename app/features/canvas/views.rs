//! The views of a step that the canvas shows.

use std::collections::BTreeSet;

use engine::diffusion::StepView;
use serde::{Deserialize, Serialize};

/// One view alone, or several side by side.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Views {
    /// The one that is shown alone.
    pub one: StepView,
    pub side_by_side: bool,
    /// The views that are side by side.
    pub hidden: BTreeSet<StepView>,
}

impl Views {
    /// As in the lesson: noisy on the left, predicted on the right.
    pub const ORDER: [StepView; 4] =
        [StepView::NoisyLatents, StepView::Predicted, StepView::PredictedNoise, StepView::Guidance];

    /// At least one.
    pub fn shown(&self) -> Vec<StepView> {
        if !self.side_by_side {
            return vec![self.one];
        }
        let shown: Vec<StepView> =
            Self::ORDER.into_iter().filter(|view| !self.hidden.contains(view)).collect();
        if shown.is_empty() { vec![self.one] } else { shown }
    }

    pub fn first(&self) -> StepView {
        self.shown()[0]
    }

    /// Shows a view alone; side by side, shows or hides it, except the last.
    pub fn choose(&mut self, view: StepView) {
        if !self.side_by_side {
            self.one = view;
        } else if !self.hidden.remove(&view) && self.shown().len() > 1 {
            self.hidden.insert(view);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alone_a_view_takes_the_place_of_the_one_before() {
        let mut views = Views::default();
        assert_eq!(views.shown(), [StepView::Predicted]);
        views.choose(StepView::PredictedNoise);
        assert_eq!(views.shown(), [StepView::PredictedNoise]);
    }

    #[test]
    fn side_by_side_any_view_can_be_hidden_but_the_last() {
        let mut views = Views { side_by_side: true, ..Views::default() };
        assert_eq!(views.shown(), Views::ORDER);
        views.choose(StepView::PredictedNoise);
        assert_eq!(views.shown(), [StepView::NoisyLatents, StepView::Predicted, StepView::Guidance]);
        views.choose(StepView::PredictedNoise);
        assert_eq!(views.shown(), Views::ORDER);
        Views::ORDER.into_iter().for_each(|view| views.choose(view));
        assert_eq!(views.shown(), [StepView::Guidance]);
    }

    #[test]
    fn settings_that_hide_everything_still_show_one() {
        let views = Views { side_by_side: true, hidden: StepView::ALL.into(), ..Views::default() };
        assert_eq!(views.shown(), [StepView::Predicted]);
    }
}
