//! The report of `precast compile --json`: what became of each module.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::args::CompileArgs;
use crate::compile::Done;
use crate::failure::Failure;

/// The report as a line of JSON, files in the order of the command line.
pub(crate) fn render(
    args: &CompileArgs,
    outputs: &[PathBuf],
    outcomes: &[Result<Done, Failure>],
) -> String {
    let files = args.inputs.iter().zip(outputs).zip(outcomes);
    let files: Vec<Value> = files
        .map(|((input, output), outcome)| {
            let (input, output) = (input.to_string_lossy(), output.to_string_lossy());
            match outcome {
                Ok(done) => json!({
                    "input": input,
                    "output": output,
                    "input_bytes": done.input_bytes,
                    "output_bytes": done.output_bytes,
                    "functions": done.functions,
                    "text_bytes": done.text_bytes,
                    "seconds": done.took.as_secs_f64(),
                    "cached": done.cached,
                    "functions_cached": done.functions_cached,
                    "error": null,
                }),
                Err(failure) => json!({
                    "input": input,
                    "output": null,
                    "error": failure.message(),
                }),
            }
        })
        .collect();
    let abi = precast_abi::VERSION;
    let report = json!({
        "precast": env!("CARGO_PKG_VERSION"),
        "abi": format!("{}.{}", abi.major, abi.minor),
        "files": files,
    });
    format!("{report}\n")
}
