//! `quintet list`: everything that is registered.

use quintet::Registries;
use serde_json::{Value, json};

use crate::args::ListArgs;
use crate::print;

/// Prints the registries.
pub(crate) fn run(args: &ListArgs) -> anyhow::Result<()> {
    let known = Registries::new()?;
    if let Some(name) = &args.model {
        return parameters(&known, name, args.json);
    }
    let mut rows: Vec<[String; 3]> = Vec::new();
    for e in known.encoders.iter() {
        let needs = e.weights.map(|files| format!("; `weights` is a folder with {files}"));
        let learns = e.learn.as_ref().map_or("", |_| "; can learn by [encode.train]");
        let summary = format!("{}{}{learns}", e.summary, needs.unwrap_or_default());
        rows.push([format!("{} encoder", e.modality), e.name.into(), summary]);
    }
    for f in known.fusions.iter() {
        rows.push(["fusion".into(), f.name.into(), f.summary.into()]);
    }
    for d in quintet::fusion::decision::decisions()?.iter() {
        rows.push(["decision".into(), d.name.into(), d.summary.into()]);
    }
    for c in quintet::fusion::mapping::completions()?.iter() {
        rows.push(["completion".into(), c.name.into(), c.summary.into()]);
    }
    for m in known.models.iter() {
        rows.push(["model".into(), m.name.into(), m.summary.into()]);
    }
    for m in known.rating_models.iter() {
        rows.push(["rating model".into(), m.name.into(), m.summary.into()]);
    }
    for m in known.metrics.iter() {
        rows.push(["metric".into(), m.name.into(), m.summary.into()]);
    }
    if args.json {
        let list: Vec<Value> = rows
            .iter()
            .map(|[kind, name, summary]| json!({"kind": kind, "name": name, "summary": summary}))
            .collect();
        return print::json(&list);
    }
    print::table(&["kind", "name", "what it is"], rows.into_iter().map(Vec::from).collect(), 99);
    Ok(())
}

/// The parameters of one model with their defaults.
fn parameters(known: &Registries, name: &str, as_json: bool) -> anyhow::Result<()> {
    let (summary, defaults) = match known.rating_models.get(name) {
        Ok(entry) => (entry.summary, (entry.build)(&Value::Null)?.config()),
        Err(_) => {
            let entry = known.models.get(name)?;
            (entry.summary, (entry.build)(&Value::Null)?.config())
        }
    };
    if as_json {
        return print::json(&json!({"name": name, "summary": summary, "parameters": defaults}));
    }
    print::line(&format!("{name}: {summary}"));
    let keys = defaults.as_object().into_iter().flatten();
    // What has no default is left out of a run file.
    let shown = |value: &Value| if value.is_null() { "–".to_owned() } else { value.to_string() };
    let rows = keys.map(|(key, value)| vec![key.clone(), shown(value)]).collect();
    print::table(&["parameter", "default"], rows, 99);
    Ok(())
}
