//! `quintet report`: the page of a run, written again.

use quintet::pipeline::{Workspace, write_report};

use crate::args::ReportArgs;
use crate::print;

/// Writes `report.html` from the files of a run.
pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let path = write_report(&Workspace::new(&args.run))?;
    print::line(&path.display().to_string());
    Ok(())
}
