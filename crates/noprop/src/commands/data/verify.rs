//! `noprop data verify`.

use anyhow::{Result, bail};
use noprop_data::{State, inspect};
use serde_json::{Value, json};

use super::VerifyArgs;

pub fn run(args: &VerifyArgs) -> Result<()> {
    let name = args.dataset;
    let Some(published) = name.published() else {
        bail!(
            "\"{name}\" is your own images; `noprop data folder --strict --data-root DIR` reads them all"
        );
    };
    let reports = inspect(published, args.data_root.as_deref());
    let good = reports
        .iter()
        .filter(|report| matches!(report.state, State::Official | State::Unverified))
        .count();
    let total = reports.len();
    if args.json {
        let files: Vec<Value> = reports
            .iter()
            .map(|report| json!({ "file": report.name, "folder": report.folder, "state": text(&report.state) }))
            .collect();
        println!(
            "{}",
            json!({ "dataset": name, "complete": good == total, "files": files })
        );
    } else {
        for report in &reports {
            println!("{:<24} {}", report.name, text(&report.state));
        }
    }
    if good < total {
        let folder = reports
            .first()
            .map(|report| report.folder.display().to_string());
        bail!(
            "{} of {total} files of {name} are missing or bad in {}; `noprop data fetch {name}` downloads them",
            total - good,
            folder.unwrap_or_default()
        );
    }
    Ok(())
}

fn text(state: &State) -> &str {
    match state {
        State::Official => "ok: the published checksum",
        State::Unverified => "readable; no checksum is published for it in this form",
        State::Missing => "missing",
        State::Bad(why) => why,
    }
}
