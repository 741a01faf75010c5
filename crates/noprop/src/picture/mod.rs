//! A recorded walk as an animated picture: one SVG file with CSS animations, without scripts and without fonts.
//!
//! The image is on the left, the latent z among the class points in the middle, and on the right the class
//! probabilities of estimate and readout at every step. A program without animations shows the last step and the whole
//! trail of z.

mod text;
mod timeline;

#[cfg(test)]
mod tests;

use std::f64::consts::TAU;

use anyhow::{Context, Result};
use image::RgbImage;

use text::{at, clipped, data_uri, hue, likeliest, percent, short};
use timeline::Timeline;

/// A walk of one image from z_0, noise or its mean, to a label.
pub(crate) struct RecordedWalk {
    /// The image; a grey one has three equal channels.
    pub image: RgbImage,
    /// Names of the m classes.
    pub classes: Vec<String>,
    /// The walk at the times t_0 = 0, …, t_T = 1: T + 1 entries.
    pub steps: Vec<RecordedStep>,
}

/// The state of a walk at the time t_k, with latent z_k.
pub(crate) struct RecordedStep {
    /// The noise level: the share of noise in the variance of the z_k of training, 1 − ᾱ(t_k) of diffusion, 1 − t_k of
    /// flow matching. A walk from the mean of the noise has less noise.
    pub noise_share: f64,
    /// The class probabilities of the denoiser's estimate û(z_k, x, t_k), m numbers. NoProp-DT has no block after the
    /// last step, so its last entry repeats the entry before.
    pub estimate: Vec<f32>,
    /// The class probabilities that z_k alone gives: Bayes' rule on the way, the readout at the end, m numbers.
    pub readout: Vec<f32>,
    /// z_k · u_c / ‖u_c‖² for each class embedding u_c, m numbers; with one-hot embeddings this is z_k itself.
    pub along: Vec<f32>,
}

/// The largest number of rows of class probabilities; the rows show the classes that are likeliest at the end.
const MOST_ROWS: usize = 10;
/// If there are more classes than this, the ring names only the classes whose probability reaches [`SERIOUS`] at some
/// step.
const MOST_NAMES: usize = 16;
/// The smallest probability with which a class counts as a guess of the network.
const SERIOUS: f32 = 0.1;
/// The smallest probability that is printed as a number.
const PRINTED: f32 = 0.005;

/// The left and upper edge and the side of the image.
const IMAGE: (f64, f64, f64) = (28.0, 28.0, 144.0);
/// The centre (x, y) and the radius of the disc on which latents are drawn.
const DISC: (f64, f64, f64) = (352.0, 166.0, 140.0);
/// A latent at distance r from the centre is drawn at r/(r + SPREAD) of the radius: noise lies several times
/// farther out than any class, and both should be seen.
const SPREAD: f64 = 0.6;
/// The left and lower edge, width and height of the columns that show how much noise is left.
const COLUMNS: (f64, f64, f64, f64) = (212.0, 374.0, 280.0, 26.0);
/// The left ends of the names and of the bars of a row, and the right ends of the bars and of the numbers.
const ROWS: (f64, f64, f64, f64) = (530.0, 618.0, 726.0, 774.0);

const STYLE: &str = "\
.card{fill:#fff;stroke:#d9dee6}.disc{fill:#f3f5f8}.ring{fill:none;stroke:#d9dee6}.track{fill:#e4e8ee}\
.ink{fill:#171c26}.quiet{fill:#525d6e}.paper{fill:#fff}.way{fill:none;stroke:#525d6e}\
.hollow{fill:none;stroke:#171c26}.halo{stroke:#fff;stroke-width:3;paint-order:stroke}\
.bold{font-weight:700}.t{opacity:0}.last{opacity:1}\
@media(prefers-color-scheme:dark){\
.card{fill:#171b24;stroke:#2a3140}.disc{fill:#10141b}.ring{stroke:#2a3140}.track{fill:#2a3140}\
.ink{fill:#eef1f6}.quiet{fill:#a3adbd}.paper{fill:#171b24}.way{stroke:#a3adbd}\
.hollow{stroke:#eef1f6}.halo{stroke:#171b24}}";

/// Draws the walk as an SVG file of less than 60 kB, and returns its text.
///
/// # Errors
/// When the walk has no step or no class, or the image cannot be encoded.
pub(crate) fn animated_svg(walk: &RecordedWalk) -> Result<String> {
    let last = walk.steps.last().context("the walk has no step to show")?;
    let answer = likeliest(&last.readout)
        .filter(|&class| class < walk.classes.len())
        .context("the walk has no class to show")?;
    let timeline = Timeline::new(walk.steps.len() - 1);
    let frames = timeline.steps.iter().map(|&k| &walk.steps[k]).collect();
    let mut picture = Picture {
        walk,
        answer,
        frames,
        timeline,
        body: String::new(),
    };
    picture.image()?;
    picture.ring();
    picture.rows();
    picture.clock();
    Ok(picture.finish())
}

/// The picture while it is drawn.
struct Picture<'a> {
    walk: &'a RecordedWalk,
    /// The class that the readout gives at the end.
    answer: usize,
    /// The steps that are shown.
    frames: Vec<&'a RecordedStep>,
    timeline: Timeline,
    body: String,
}

impl Picture<'_> {
    fn put(&mut self, elements: &str) {
        self.body.push_str(elements);
        self.body.push('\n');
    }

    /// Draws the image, and below it the likeliest class of each frame.
    fn image(&mut self) -> Result<()> {
        let (x, y, side) = IMAGE;
        let uri = data_uri(&self.walk.image)?;
        let place = format!("x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\"");
        self.put(&format!(
            "<image {place} style=\"image-rendering:pixelated\" href=\"{uri}\"/><rect class=\"ring\" {place}/>"
        ));
        for j in 0..self.frames.len() {
            let (what, belief) = match j + 1 == self.frames.len() {
                true => ("the answer", &self.frames[j].readout),
                false => ("best guess now", &self.frames[j].estimate),
            };
            let class = likeliest(belief).unwrap_or_default();
            let name = clipped(&self.walk.classes, class, 12);
            let size = match name.chars().count() {
                ..4 => 34,
                4..8 => 26,
                _ => 20,
            };
            self.put(&format!(
                "<g class=\"{}\"><text class=\"quiet\" x=\"{x}\" y=\"204\">{what}</text>\
                 <text class=\"ink bold\" x=\"{x}\" y=\"240\" font-size=\"{size}\">{name}</text>\
                 <rect x=\"{x}\" y=\"250\" width=\"{side}\" height=\"4\" fill=\"{}\"/>\
                 <text class=\"quiet\" x=\"{x}\" y=\"276\">{}</text></g>",
                self.timeline.only(j),
                hue(class),
                percent(at(belief, class).into()),
            ));
        }
        Ok(())
    }

    /// Draws the class points on a ring, and z and û among them.
    fn ring(&mut self) {
        let (x, y, radius) = DISC;
        let circle = |class: &str, radius: f64| {
            format!("<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"{radius}\"/>")
        };
        let rings = [
            ("disc", radius),
            ("ring", radius),
            ("ring", radius / (1.0 + SPREAD)),
        ];
        self.put(&rings.map(|(class, radius)| circle(class, radius)).concat());
        let z: Vec<_> = self.frames.iter().map(|step| place(&step.along)).collect();
        let u: Vec<_> = self
            .frames
            .iter()
            .map(|step| place(&step.estimate))
            .collect();
        self.way(&z);
        for class in 0..self.walk.classes.len() {
            self.class_point(class);
        }
        let (u, z) = (self.timeline.travel(&u), self.timeline.travel(&z));
        self.put(&format!(
            "<g {u}><circle class=\"hollow\" r=\"13\" stroke-width=\"2\"/></g>\
             <g {z}><circle class=\"ink halo\" r=\"9\"/>\
             <text class=\"paper\" y=\"4\" text-anchor=\"middle\" font-style=\"italic\">z</text></g>"
        ));
    }

    /// Draws the trail of z up to the present frame.
    fn way(&mut self, z: &[(f64, f64)]) {
        let lengths = z.windows(2).scan(0.0, |length, pair| {
            *length += (pair[1].0 - pair[0].0).hypot(pair[1].1 - pair[0].1);
            Some(*length)
        });
        let lengths: Vec<f64> = std::iter::once(0.0).chain(lengths).collect();
        let whole = lengths[lengths.len() - 1];
        let hidden = |gone: &f64| format!("stroke-dashoffset:{}", short(whole - gone, 1));
        let classes = self
            .timeline
            .follow(&lengths.iter().map(hidden).collect::<Vec<_>>());
        let points = z
            .iter()
            .map(|(x, y)| format!("{},{} ", short(*x, 1), short(*y, 1)));
        self.put(&format!(
            "<polyline class=\"way {classes}\" points=\"{}\" stroke-width=\"2\" stroke-linejoin=\"round\" \
             stroke-dasharray=\"{1} {1}\"/>",
            points.collect::<String>(),
            short(whole + 1.0, 1),
        ));
    }

    fn class_point(&mut self, class: usize) {
        let count = self.walk.classes.len();
        let embedding: Vec<f32> = (0..count)
            .map(|c| f32::from(u8::from(c == class)))
            .collect();
        let (x, y) = place(&embedding);
        let few = count <= MOST_NAMES;
        let is_named = few
            || self
                .frames
                .iter()
                .any(|step| at(&step.estimate, class) >= SERIOUS);
        self.put(&format!(
            "<circle cx=\"{}\" cy=\"{}\" r=\"{}\" fill=\"{}\"/>",
            short(x, 1),
            short(y, 1),
            if few { 6 } else { 3 },
            hue(class)
        ));
        if !is_named {
            return;
        }
        // The name stands outside of the ring, on the side on which the point lies.
        let (across, down) = ((x - DISC.0) / DISC.2, (y - DISC.1) / DISC.2);
        let anchor = match across {
            across if across > 0.1 => "start",
            across if across < -0.1 => "end",
            _ => "middle",
        };
        self.put(&format!(
            "<text class=\"{}\" x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            self.name_style(class),
            short(x + 22.0 * across, 1),
            short(y + 30.0 * down + 4.0, 1),
            clipped(&self.walk.classes, class, 10),
        ));
    }

    fn name_style(&self, class: usize) -> &'static str {
        if class == self.answer {
            "ink bold"
        } else {
            "ink"
        }
    }

    /// Draws a row for each shown class: a wide bar for the estimate's probability, a narrow one below it for the
    /// readout's.
    fn rows(&mut self) {
        let (name_x, bar_x, bar_end, number_x) = ROWS;
        self.put(&format!(
            "<rect class=\"quiet\" x=\"{name_x}\" y=\"31\" width=\"16\" height=\"10\"/>\
             <circle class=\"hollow\" cx=\"{0}\" cy=\"36\" r=\"6\" stroke-width=\"2\"/>\
             <text class=\"quiet\" x=\"{1}\" y=\"40\">û: the guess from image and z</text>\
             <rect class=\"ink\" x=\"{name_x}\" y=\"56\" width=\"16\" height=\"4\"/>\
             <circle class=\"ink\" cx=\"{0}\" cy=\"58\" r=\"6\"/>\
             <text class=\"quiet\" x=\"{1}\" y=\"62\">z: what z alone says</text>",
            name_x + 28.0,
            name_x + 42.0,
        ));
        let width = bar_end - bar_x;
        for (row, class) in self.shown().into_iter().enumerate() {
            let y = 82.0 + 25.0 * row as f64;
            let guessed: Vec<f32> = self
                .frames
                .iter()
                .map(|step| at(&step.estimate, class))
                .collect();
            let said: Vec<f32> = self
                .frames
                .iter()
                .map(|step| at(&step.readout, class))
                .collect();
            let (guess, say) = (self.timeline.grow(&guessed), self.timeline.grow(&said));
            self.put(&format!(
                "<text class=\"{}\" x=\"{name_x}\" y=\"{}\">{}</text>\
                 <g transform=\"translate({bar_x} {y})\"><rect class=\"track\" width=\"{width}\" height=\"10\"/>\
                 <g {guess}><rect width=\"{width}\" height=\"10\" fill=\"{}\"/></g>\
                 <g {say}><rect class=\"ink\" y=\"12\" width=\"{width}\" height=\"4\"/></g></g>",
                self.name_style(class),
                y + 10.0,
                clipped(&self.walk.classes, class, 10),
                hue(class),
            ));
            for (j, p) in guessed
                .into_iter()
                .enumerate()
                .filter(|(_, p)| *p >= PRINTED)
            {
                self.put(&format!(
                    "<text class=\"quiet {}\" x=\"{number_x}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                    self.timeline.only(j),
                    y + 10.0,
                    percent(p.into()),
                ));
            }
        }
    }

    /// The classes of the rows, by index.
    fn shown(&self) -> Vec<usize> {
        let last = &self.frames[self.frames.len() - 1].readout;
        let mut shown: Vec<usize> = (0..self.walk.classes.len()).collect();
        shown.sort_by(|&a, &b| at(last, b).total_cmp(&at(last, a)));
        shown.truncate(MOST_ROWS);
        shown.sort_unstable();
        shown
    }

    /// Draws the number of the step below the ring, and the noise level.
    fn clock(&mut self) {
        let (left, bottom, width, height) = COLUMNS;
        let steps = self.walk.steps.len() - 1;
        let pitch = width / self.frames.len() as f64;
        for j in 0..self.frames.len() {
            let share = self.frames[j].noise_share.clamp(0.0, 1.0);
            let high = (share * height).max(1.0);
            let column = format!(
                "x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"",
                short(left + pitch * (j as f64 + 0.15), 1),
                short(bottom - high, 1),
                short(0.7 * pitch, 1),
                short(high, 1),
            );
            self.put(&format!(
                "<rect class=\"track\" {column}/><g class=\"{}\"><rect class=\"ink\" {column}/>\
                 <text class=\"ink\" x=\"{}\" y=\"336\" text-anchor=\"middle\">step {} of {steps}: noise level {}</text></g>",
                self.timeline.only(j),
                DISC.0,
                self.timeline.steps[j],
                percent(share),
            ));
        }
        self.put(&format!(
            "<text class=\"quiet\" x=\"{}\" y=\"{bottom}\" text-anchor=\"end\">noise</text>\
             <text class=\"quiet\" x=\"{}\" y=\"{bottom}\">label</text>",
            left - 8.0,
            left + width + 8.0,
        ));
    }

    fn finish(self) -> String {
        let classes = &self.walk.classes;
        let beliefs = self
            .timeline
            .steps
            .iter()
            .zip(&self.frames)
            .map(|(k, step)| {
                let class = likeliest(&step.estimate).unwrap_or_default();
                format!(
                    "Step {k}: {} noise, best guess {} ({}). ",
                    percent(step.noise_share),
                    clipped(classes, class, 40),
                    percent(at(&step.estimate, class).into()),
                )
            });
        let beliefs: String = beliefs.collect();
        let answer = clipped(classes, self.answer, 40);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 400\" width=\"800\" height=\"400\" \
             role=\"img\" aria-labelledby=\"title desc\" font-size=\"13\" \
             font-family=\"system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',sans-serif\">\n\
             <title id=\"title\">A walk to the label {answer}</title>\n<desc id=\"desc\">{beliefs}</desc>\n\
             <style>{STYLE}\n{}</style>\n\
             <rect class=\"card\" x=\".5\" y=\".5\" width=\"799\" height=\"399\" rx=\"14\"/>\n{}</svg>\n",
            self.timeline.style(),
            self.body,
        )
    }
}

/// The place of a latent on the disc, given its coordinates along the class embeddings. Class c of m stands at the
/// angle 2π c/m, the first class at the top.
fn place(along: &[f32]) -> (f64, f64) {
    let (mut x, mut y) = (0.0, 0.0);
    for (class, value) in along
        .iter()
        .enumerate()
        .filter(|(_, value)| value.is_finite())
    {
        let angle = TAU * (class as f64 / along.len() as f64 - 0.25);
        x += f64::from(*value) * angle.cos();
        y += f64::from(*value) * angle.sin();
    }
    let share = DISC.2 / (x.hypot(y) + SPREAD);
    (DISC.0 + share * x, DISC.1 + share * y)
}
