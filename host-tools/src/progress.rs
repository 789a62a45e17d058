//! Progress of long steps: a bar with an estimate of the time left on a terminal, nothing in a pipe.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on standard error, hidden when that is no terminal. Its length is set by whoever does the work.
pub fn bar(what: &'static str) -> ProgressBar {
    let template = "{prefix:>10} [{bar:32}] {percent:>3} % {eta:>4} left  {wide_msg}";
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(0).with_style(style.progress_chars("=> ")).with_prefix(what)
}
