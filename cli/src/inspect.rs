//! `precast inspect`.

mod json;
mod report;
mod text;
mod types;

use precast::ObjectView;
use precast::object::{self, Damage};

use crate::args::InspectArgs;
use crate::failure::{self, Failure};
use crate::input;
use report::Report;

/// Shows what an object contains; with `--verify`, checks all of it first.
pub(crate) fn inspect(args: &InspectArgs) -> Result<(), Failure> {
    let bytes = input::read(&args.file)?;
    let view = ObjectView::parse(&bytes).map_err(|error| Failure::at(&args.file, error))?;
    let checked = match args.verify {
        true => Some(verify(&view).map_err(|problem| Failure::at(&args.file, problem))?),
        false => None,
    };
    let levels = view
        .levels()
        .map_err(|error| Failure::at(&args.file, error))?;
    if args.verify {
        for level in &levels {
            verify(level).map_err(|problem| Failure::at(&args.file, problem))?;
        }
    }
    let report = Report::new(&view, &levels, checked)
        .map_err(|damage| Failure::at(&args.file, precast::OpenError::from(damage)))?;
    let shown = match args.json {
        true => json::render(&report),
        false => text::render(&report),
    };
    failure::print(shown.as_bytes())
}

/// What verification has counted.
#[derive(Debug)]
struct Checked {
    records: object::Report,
    /// By name; empty where the machine code was not looked at.
    code: Vec<(&'static str, u64)>,
}

/// Checks every record, offset, trap site and table entry, and then the machine code.
fn verify(view: &ObjectView<'_>) -> Result<Checked, String> {
    let records = view.verify().map_err(|findings| {
        let first = findings.first().map(Damage::to_string).unwrap_or_default();
        let more = match findings.len() {
            0 | 1 => String::new(),
            n => format!(", and {} more findings", n - 1),
        };
        format!("the object is damaged: {first}{more}; copy or compile it again")
    })?;
    let code = crate::verify::code(view)?;
    Ok(Checked { records, code })
}
