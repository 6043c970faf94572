//! The goals for generated code, and what was reached.

use super::contestant::key;
use super::run::Row;
use crate::kernels::Kernel;
use crate::measure::geometric_mean;

/// Which kernels a goal speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    All,
    Scalar,
    Simd,
}

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    Time,
    Code,
    Compile,
}

/// A bound on the ratio of ours to theirs.
struct Goal {
    what: &'static str,
    measure: Measure,
    of: Of,
    than: &'static str,
    /// For the geometric mean.
    mean: f64,
    /// For each kernel.
    each: Option<f64>,
}

const GOALS: &[Goal] = &[
    time("time, Wasmtime", Of::All, key::WASMTIME, 0.70),
    Goal {
        each: Some(1.03),
        ..time("time, Wasmtime with inlining", Of::All, key::INLINING, 0.85)
    },
    time("time, Wasmtime with epochs", Of::All, key::EPOCHS, 0.60),
    time("time, native -O3, scalar", Of::Scalar, key::NATIVE, 1.05),
    time("time, native -O3, SIMD", Of::Simd, key::NATIVE, 1.15),
    Goal {
        measure: Measure::Code,
        ..time("code bytes, Wasmtime", Of::All, key::WASMTIME, 1.15)
    },
    Goal {
        measure: Measure::Compile,
        ..time("compile time, Wasmtime", Of::All, key::WASMTIME, 1.3)
    },
];

const fn time(what: &'static str, of: Of, than: &'static str, mean: f64) -> Goal {
    Goal {
        what,
        measure: Measure::Time,
        of,
        than,
        mean,
        each: None,
    }
}

/// Prints every goal that something was measured for.
pub fn print(rows: &[(&Kernel, Row)]) {
    println!(
        "\n{:<32} {:>7} {:>7}   worst kernels",
        "geometric mean against", "ratio", "goal"
    );
    for goal in GOALS {
        let mut ratios: Vec<(f64, &str)> = rows
            .iter()
            .filter(|(kernel, _)| match goal.of {
                Of::All => true,
                Of::Scalar => !kernel.is_simd,
                Of::Simd => kernel.is_simd,
            })
            .filter_map(|(kernel, row)| Some((goal.ratio(row)?, kernel.name)))
            .collect();
        if ratios.is_empty() {
            continue;
        }
        ratios.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mean = geometric_mean(ratios.iter().map(|(ratio, _)| *ratio));
        let worst = ratios[0].0;
        let is_met = mean <= goal.mean && goal.each.is_none_or(|most| worst <= most);
        let each = goal.each.map_or(String::new(), |most| {
            let above = ratios.iter().filter(|(ratio, _)| *ratio > most).count();
            format!(" (above {most}: {above})")
        });
        let named: Vec<String> = ratios
            .iter()
            .take(4)
            .map(|(ratio, name)| format!("{name} {ratio:.2}"))
            .collect();
        println!(
            "{:<32} {mean:>7.3} {:>7} {} {}{each}",
            goal.what,
            goal.mean,
            if is_met { "+" } else { "-" },
            named.join(", "),
        );
    }
}

impl Goal {
    fn ratio(&self, row: &Row) -> Option<f64> {
        let figures = match self.measure {
            Measure::Time => &row.times,
            Measure::Code => &row.code,
            Measure::Compile => &row.compile,
        };
        Some(figures.get(key::PRECAST)? / figures.get(self.than)?)
    }
}
