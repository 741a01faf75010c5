//! Accuracy over the test images.

use std::fmt::Write;

use super::super::dom;
use crate::logic::names::is_word;
use crate::protocol::AccuracyProgress;

/// There are `count` images to classify, and none is yet.
pub fn evaluation_of(count: usize) {
    let thousands = match count {
        0..1000 => count.to_string(),
        _ => format!("{},{:03}", count / 1000, count % 1000),
    };
    dom::set_text("evaluate", &format!("Classify {thousands} test images"));
    dom::element("confusion").set_inner_html("");
    dom::set_text("accuracy", "");
}

/// An evaluation is under way.
pub fn evaluation_began() {
    dom::element("cancel").set_hidden(false);
    dom::set(&dom::element("evaluate"), "disabled", "");
    dom::element("confusion").set_inner_html("");
    dom::set_text("accuracy", "classifying …");
}

/// It is over.
pub fn evaluation_ended() {
    dom::element("cancel").set_hidden(true);
    let _ = dom::element("evaluate").remove_attribute("disabled");
}

/// Accuracy so far, and what the command line recorded for the same walk.
pub fn accuracy(progress: &AccuracyProgress, classes: &[String], recorded: Option<f64>) {
    let rate = 1000.0 * f64::from(progress.done) / progress.ms.max(1e-3);
    let command_line = match recorded {
        Some(percent) if progress.finished => {
            format!("; the command line gave {percent:.1} % for the same images and noise")
        }
        _ => String::new(),
    };
    dom::set_text(
        "accuracy",
        &format!(
            "{:.1} % of {} images right ({} of {}); 95 % interval {:.1} to {:.1} %; {rate:.0} images/s{command_line}",
            100.0 * f64::from(progress.correct) / f64::from(progress.done.max(1)),
            progress.done,
            progress.correct,
            progress.total,
            progress.interval.0,
            progress.interval.1,
        ),
    );
    if progress.finished {
        evaluation_ended();
        confusion(progress, classes);
    }
}

fn confusion(progress: &AccuracyProgress, classes: &[String]) {
    let m = classes.len();
    // Names that are words stand upright above narrow columns.
    let kind = if classes.iter().any(|class| is_word(class)) {
        "words"
    } else {
        "numbers"
    };
    let mut html = format!(
        "<table class={kind}><caption>Rows: the right label; columns: the prediction</caption><thead><tr><td></td>",
    );
    for class in classes {
        let _ = write!(html, "<th scope=col><span>{}</span></th>", escape(class));
    }
    html += "</tr></thead><tbody>";
    for (row, class) in progress.confusion.chunks(m).zip(classes) {
        let _ = write!(html, "<tr><th scope=row>{}</th>", escape(class));
        let at = classes.iter().position(|c| c == class);
        for (k, count) in row.iter().enumerate() {
            let kind = match (*count, at == Some(k)) {
                (0, _) => "none",
                (_, true) => "right",
                (_, false) => "wrong",
            };
            let _ = write!(html, "<td class={kind}>{count}</td>");
        }
        html += "</tr>";
    }
    html += "</tbody></table>";
    dom::element("confusion").set_inner_html(&html);
}

/// Class names come from a file that anybody may have made.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
