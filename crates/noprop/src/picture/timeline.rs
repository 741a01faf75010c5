//! The times at which things move: frames of an endless loop, as CSS animations.

use std::fmt::Write as _;

use super::text::short;

/// The largest number of frames; of a longer walk, evenly spaced steps are shown.
const MOST_FRAMES: usize = 21;
/// The seconds before the first step, and the seconds after the last one.
const BEFORE: f64 = 1.0;
const AFTER: f64 = 3.0;
/// The seconds of all steps together, and the longest time of one step.
const STEPS: f64 = 8.0;
const LONGEST_STEP: f64 = 0.8;

/// The loop, and the animations that run in it.
pub struct Timeline {
    /// The number of the step that each frame shows.
    pub steps: Vec<usize>,
    /// For each frame, the share of the loop in percent at which everything has arrived.
    times: Vec<f64>,
    /// The length of the loop in seconds.
    seconds: f64,
    rules: String,
    moving: usize,
}

impl Timeline {
    /// The frames of the steps 0 … `last`.
    pub fn new(last: usize) -> Self {
        let count = (last + 1).min(MOST_FRAMES);
        let step = (STEPS / count as f64).min(LONGEST_STEP);
        let seconds = BEFORE + step * (count - 1) as f64 + AFTER;
        let time = |j: usize| 100.0 * (BEFORE + step * j as f64) / seconds;
        Self {
            steps: (0..count).map(|j| j * last / (count - 1).max(1)).collect(),
            times: (0..count).map(time).collect(),
            seconds,
            rules: String::new(),
            moving: 0,
        }
    }

    /// The CSS classes of an element that is seen in frame `j` only; without animations the last frame is seen.
    pub fn only(&self, j: usize) -> String {
        let is_last = j + 1 == self.times.len();
        format!("t f{j}{}", if is_last { " last" } else { "" })
    }

    /// The CSS classes of an element whose style follows `values`, one declaration for each frame.
    pub fn follow(&mut self, values: &[String]) -> String {
        if values.windows(2).all(|pair| pair[0] == pair[1]) {
            return String::new();
        }
        let name = self.moving;
        self.moving += 1;
        let _ = write!(self.rules, "@keyframes m{name}{{");
        for (j, value) in values.iter().enumerate() {
            let ends = match j {
                0 => "0%,",
                _ if j + 1 == values.len() => "100%,",
                // A value that equals those before and after it needs no key frame.
                _ if values[j - 1] == *value && values[j + 1] == *value => continue,
                _ => "",
            };
            let time = short(self.times[j], 1);
            let _ = write!(self.rules, "{ends}{time}%{{{value}}}");
        }
        let _ = write!(self.rules, "}}.m{name}{{animation-name:m{name}}}");
        format!("m m{name}")
    }

    /// The attributes of a group that moves along `way`, one point for each frame; without animations it stands at the
    /// end.
    pub fn travel(&mut self, way: &[(f64, f64)]) -> String {
        let to = |(x, y): &(f64, f64), unit: &str, comma: char| {
            format!(
                "translate({}{unit}{comma}{}{unit})",
                short(*x, 1),
                short(*y, 1)
            )
        };
        let values = way
            .iter()
            .map(|point| format!("transform:{}", to(point, "px", ',')));
        let classes = self.follow(&values.collect::<Vec<_>>());
        let end = way.last().map(|point| to(point, "", ' '));
        format!(
            "class=\"{classes}\" transform=\"{}\"",
            end.unwrap_or_default()
        )
    }

    /// The attributes of a group whose width follows `shares`, one for each frame; without animations it has the last.
    pub fn grow(&mut self, shares: &[f32]) -> String {
        let share = |share: &f32| short(f64::from(*share), 2);
        let values = shares
            .iter()
            .map(|p| format!("transform:scaleX({})", share(p)));
        let classes = self.follow(&values.collect::<Vec<_>>());
        let end = shares.last().map(share).unwrap_or_default();
        format!("class=\"{classes}\" transform=\"scale({end} 1)\"")
    }

    /// The style sheet of all animations. If the user's system asks for less motion, nothing moves.
    pub fn style(mut self) -> String {
        for j in 0..self.times.len() {
            let between = |j: usize| short(0.5 * (self.times[j] + self.times[j + 1]), 1);
            let begin = match j.checked_sub(1) {
                Some(before) => format!("0%{{opacity:0}}{}%", between(before)),
                None => "0%".to_owned(),
            };
            let end = match j + 1 < self.times.len() {
                true => format!("{}%,100%{{opacity:0}}", between(j)),
                false => "100%{opacity:1}".to_owned(),
            };
            let rule =
                format!("@keyframes f{j}{{{begin}{{opacity:1}}{end}}}.f{j}{{animation-name:f{j}}}");
            self.rules.push_str(&rule);
        }
        let seconds = short(self.seconds, 2);
        format!(
            "@media(prefers-reduced-motion:no-preference){{.m{{animation:{seconds}s ease-in-out infinite}}\
             .t{{animation:{seconds}s step-end infinite}}\n{}}}",
            self.rules
        )
    }
}
