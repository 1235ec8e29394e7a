//! `report.html`: one page about a run that needs nothing else: no script, no link, no font.
//!
//! It is made from the files of the run's directory alone, so that it can be written again at
//! any time, also by a later version.

mod about;
mod chart;
mod curves;
mod lists;
mod markup;
mod paired;
mod results;
mod rules;

use std::collections::BTreeMap;
use std::fmt::Write;

use quintet_data::write_atomic;
use quintet_train::EpochRecord;
use serde_json::Value;

use super::stages::read_json;
use super::{Examples, PerUser, PipelineError, RatingResult, RunFacts, RunResult, Workspace};
use markup::{escape, heading};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;\
padding:0 1rem;color:#1b1f24;background:#fff}table{border-collapse:collapse;margin:0 0 1rem}\
th,td{border-bottom:1px solid #d0d7de;padding:.3rem .7rem;text-align:left;vertical-align:top;\
overflow-wrap:anywhere}th{overflow-wrap:normal}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\
.wide{overflow-x:auto}h2{margin-top:2.5rem;border-bottom:1px solid #d0d7de}\
figure{margin:0 0 1.5rem}figcaption{font-weight:600;margin:1rem 0 .3rem}\
svg{max-width:100%;height:auto;display:block}summary{cursor:pointer;opacity:.75}\
.key{margin:.2rem 0}.key span{margin-right:1.2rem}\
.key i{display:inline-block;width:.8em;height:.8em;margin-right:.4em;border-radius:2px}\
pre{overflow-x:auto;padding:.8rem;border:1px solid #d0d7de;border-radius:6px}\
ol.list,ul.list{list-style:none;padding:0;display:flex;flex-wrap:wrap;gap:.6rem}\
.list li{width:8.5rem;border:1px solid #d0d7de;border-radius:6px;padding:.4rem;font-size:.85rem;\
overflow-wrap:anywhere}.list img{display:block;max-width:72px;max-height:72px;margin-bottom:.3rem}\
.list small{display:block;opacity:.75}.list .hit{border:2px solid #4ca36b}\
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(10rem,1fr));gap:1rem}\
dl div{border:1px solid #d0d7de;border-radius:6px;padding:.5rem .8rem}dt{opacity:.75}\
dd{margin:0;font-size:1.3rem;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}\
th,td,h2,pre,dl div,.list li{border-color:#30363d}.list .hit{border-color:#4ca36b}}";

/// Everything of a run that a page tells of.
struct Told {
    result: RunResult,
    per_user: Option<PerUser>,
    data: Option<Value>,
    config: Option<String>,
    facts: Option<RunFacts>,
    examples: Option<Examples>,
    ratings: Vec<RatingResult>,
    /// The epochs of every model that has some.
    logs: BTreeMap<String, Vec<EpochRecord>>,
}

/// Writes `report.html` of a run that was evaluated, from the files in its directory.
///
/// # Errors
/// The run was not evaluated, a file of it is damaged, the page cannot be written.
pub fn write_report(workspace: &Workspace) -> Result<std::path::PathBuf, PipelineError> {
    let page = page(&Told::read(workspace)?);
    let path = workspace.file("report.html");
    write_atomic(&path, page.as_bytes())?;
    Ok(path)
}

impl Told {
    fn read(workspace: &Workspace) -> Result<Self, PipelineError> {
        let result = workspace.read_result()?;
        let text = |name: &str| {
            let path = workspace.file(name);
            path.is_file().then(|| fs_err::read_to_string(path)).transpose()
        };
        let data = workspace.file("data.json");
        let ratings = workspace.file("ratings.json");
        let mut logs = BTreeMap::new();
        for model in &result.models {
            let path = workspace.model(&model.label).join("metrics.jsonl");
            if path.is_file() {
                logs.insert(model.label.clone(), read_log(&path)?);
            }
        }
        Ok(Self {
            per_user: workspace.read_per_user()?,
            data: data.is_file().then(|| read_json(&data, "a summary of data")).transpose()?,
            config: text("config.toml")?,
            facts: workspace.read_facts()?,
            examples: workspace.read_examples()?,
            ratings: match ratings.is_file() {
                true => read_json(&ratings, "results of rating models")?,
                false => Vec::new(),
            },
            logs,
            result,
        })
    }
}

impl Workspace {
    /// What the evaluation wrote.
    ///
    /// # Errors
    /// The run was not evaluated, or the file is damaged.
    pub fn read_result(&self) -> Result<RunResult, PipelineError> {
        let path = self.file("metrics.json");
        if !path.is_file() {
            let path = path.display().to_string();
            return Err(PipelineError::NotRun { path, verb: "evaluate" });
        }
        read_json(&path, "results of a run")
    }

    /// The values of the primary metric user by user; none of a run that has none.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn read_per_user(&self) -> Result<Option<PerUser>, PipelineError> {
        let path = self.file("per_user.json");
        path.is_file().then(|| read_json(&path, "values by user")).transpose()
    }
}

fn read_log(path: &std::path::Path) -> Result<Vec<EpochRecord>, PipelineError> {
    let text = fs_err::read_to_string(path)?;
    let line = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|e| PipelineError::Damaged {
            path: format!("{}, line {}", path.display(), number + 1),
            expected: "an epoch".to_owned(),
            found: e.to_string(),
        })
    };
    text.lines().enumerate().map(line).collect()
}

/// The whole page.
fn page(told: &Told) -> String {
    let mut out = String::new();
    let name = escape(&told.result.name);
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>Run report: {name}</title><style>{STYLE}</style></head>\n\
         <body><h1>Run report: {name}</h1>\n"
    );
    about::tiles(&mut out, told);
    heading(&mut out, "Results");
    results::write(&mut out, told);
    rules::write(&mut out, told);
    curves::write(&mut out, told);
    lists::write(&mut out, told);
    about::write(&mut out, told);
    out.push_str("</body></html>\n");
    out
}

#[cfg(test)]
mod tests;
