//! Arguments with a grammar of their own: durations, sizes, directories, variables.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// Splits `12ms` into `12` and `ms`.
fn split_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    text.split_at(end)
}

/// Reads `500ms`, `1.5s`, `2m`, `1h`; a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let seconds = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("write it as 500ms, 2s, 1m or 1h".to_owned()),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "write it as 500ms, 2s, 1m or 1h")?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| "it is too long".to_owned())
}

/// Reads `65536`, `512K`, `64M`, `2G` and so on, also with `B` or `iB` behind; units are powers
/// of 1024.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    const HOW: &str = "write it as 65536, 512K, 64M or 2G";
    let (number, unit) = split_unit(text);
    let unit = unit.strip_suffix('B').unwrap_or(unit);
    let shift = match unit.strip_suffix('i').unwrap_or(unit) {
        "" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(HOW.to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| HOW)?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "it is too large".to_owned())
}

/// Reads `K=V`.
pub(crate) fn parse_env(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=value".to_owned()),
    }
}

/// Checks an argument that is kept as it was said.
#[cfg(feature = "compile")]
pub(crate) fn said<T: FromStr<Err = String>>(text: &str) -> Result<String, String> {
    text.parse::<T>().map(|_| text.to_owned())
}

/// As [`said`], of a variable.
#[cfg(feature = "compile")]
pub(crate) fn said_env(text: &str) -> Result<String, String> {
    parse_env(text).map(|_| text.to_owned())
}

/// As [`said`], of a duration.
#[cfg(feature = "compile")]
pub(crate) fn said_duration(text: &str) -> Result<String, String> {
    parse_duration(text).map(|_| text.to_owned())
}

/// As [`said`], of a size.
#[cfg(feature = "compile")]
pub(crate) fn said_size(text: &str) -> Result<String, String> {
    parse_size(text).map(|_| text.to_owned())
}

/// `--dir HOST[::GUEST][:ro]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirArg {
    /// The directory.
    pub(crate) host: PathBuf,
    /// What the guest calls it.
    pub(crate) guest: String,
    /// Whether the guest may only read.
    pub(crate) read_only: bool,
}

impl FromStr for DirArg {
    type Err = String;

    fn from_str(text: &str) -> Result<DirArg, String> {
        let (text, read_only) = match text.strip_suffix(":ro") {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let (host, guest) = text.split_once("::").unwrap_or((text, text));
        if host.is_empty() || guest.is_empty() {
            return Err("write it as HOST, HOST::GUEST or HOST::GUEST:ro".to_owned());
        }
        Ok(DirArg {
            host: host.into(),
            guest: guest.to_owned(),
            read_only,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("3"), Ok(Duration::from_secs(3)));
        for bad in ["", "ms", "1d", "-1s", "1e400s", "1.2.3s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        let endless = format!("{}s", "9".repeat(300));
        assert!(parse_duration(&endless).is_err());
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_size("65536"), Ok(65536));
        assert_eq!(parse_size("64M"), Ok(64 << 20));
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("2GB"), Ok(2 << 30));
        for bad in ["", "M", "1.5G", "99999999999T", "-1"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn directories() {
        let dir = |host: &str, guest: &str, read_only| {
            Ok(DirArg {
                host: host.into(),
                guest: guest.into(),
                read_only,
            })
        };
        assert_eq!("data".parse(), dir("data", "data", false));
        assert_eq!("data:ro".parse(), dir("data", "data", true));
        assert_eq!("/tmp/x::/data:ro".parse(), dir("/tmp/x", "/data", true));
        assert!("::/data".parse::<DirArg>().is_err());
        assert!("data::".parse::<DirArg>().is_err());
    }

    #[test]
    fn variables() {
        assert_eq!(parse_env("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert!(parse_env("=b").is_err());
        assert!(parse_env("A").is_err());
    }
}
