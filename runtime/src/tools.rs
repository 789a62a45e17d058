//! Tools: what a model calls in the middle of its answer, and the machine computes.
//!
//! A model is unreliable at what has an exact method. So it writes a call, a [`Tool`] answers in text, and the
//! [`Session`](crate::Session) puts that text into the conversation. A tool needs one method, or is a closure:
//!
//! ```
//! use sprat::tools::{NamedTool, Text, ToolError};
//!
//! let mut lamp = |arguments: &str, out: &mut Text<'_>| match arguments {
//!     "on" | "off" => Ok(out.push("ok")),
//!     _ => Err(ToolError("on or off?")),
//! };
//! let tool = NamedTool::new("lamp", &mut lamp);
//! assert_eq!(tool.name(), "lamp");
//! ```

mod calculator;
mod device;
mod expression;
mod program;
mod ratio;
#[cfg(test)]
mod tests;
mod text;

pub use self::calculator::Calculator;
pub use self::device::{Actuator, Device, Read, Set};
pub use self::program::{MOST_VARIABLES, Program};
pub use self::text::{CUT_MARK, Text};

use crate::grammar::{ARGUMENTS, Grammar};

/// Why a tool has no answer. The model reads it behind `error: `, or as `error` if it is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ToolError(pub &'static str);

/// What can be called from an answer.
pub trait Tool {
    /// Answers a call: writes the result to `out`, whose bound the session has set. What was written before an error is
    /// left out.
    ///
    /// # Errors
    /// Why there is no result, in a few words.
    fn call(&mut self, arguments: &str, out: &mut Text<'_>) -> Result<(), ToolError>;

    /// What it can be called with: a model can write nothing else.
    fn arguments(&self) -> Grammar<'_> {
        ARGUMENTS
    }
}

impl<F: FnMut(&str, &mut Text<'_>) -> Result<(), ToolError>> Tool for F {
    fn call(&mut self, arguments: &str, out: &mut Text<'_>) -> Result<(), ToolError> {
        self(arguments, out)
    }
}

/// A tool under the name that a model calls it by.
pub struct NamedTool<'t> {
    name: &'t str,
    tool: &'t mut dyn Tool,
    arguments: Option<&'t Grammar<'t>>,
}

impl<'t> NamedTool<'t> {
    /// Names a tool.
    pub fn new(name: &'t str, tool: &'t mut dyn Tool) -> Self {
        Self { name, tool, arguments: None }
    }

    /// Lets the tool be called with something else than it says.
    pub fn with_arguments(self, arguments: &'t Grammar<'t>) -> Self {
        Self { arguments: Some(arguments), ..self }
    }

    pub(crate) fn arguments(&self) -> Grammar<'_> {
        self.arguments.copied().unwrap_or_else(|| self.tool.arguments())
    }

    /// The name.
    pub fn name(&self) -> &'t str {
        self.name
    }
}

/// All that can be called in an answer: the registry.
#[derive(Default)]
pub struct Tools<'r, 't> {
    pub(crate) calculator: Option<&'r mut dyn Tool>,
    pub(crate) named: &'r mut [NamedTool<'t>],
}

impl<'r, 't> Tools<'r, 't> {
    /// Nothing: whatever looks like a call is text.
    pub fn none() -> Self {
        Self::default()
    }

    /// Tools that are called by name, as in `[work]read(temp,kitchen)[/work]`. None: such text is text.
    pub fn new(named: &'r mut [NamedTool<'t>]) -> Self {
        Self { calculator: None, named }
    }

    /// Also answers `<<48/2=`, by `tool`: mostly a [`Calculator`].
    pub fn with_calculator(mut self, tool: &'r mut dyn Tool) -> Self {
        self.calculator = Some(tool);
        self
    }

    /// Calls the calculator.
    pub(crate) fn calculate(&mut self, expression: &str, out: &mut Text<'_>) {
        let missing = Err(ToolError("no calculator"));
        let result = self.calculator.as_mut().map_or(missing, |tool| tool.call(expression, out));
        report(result, out);
    }

    /// Calls the tool of a name.
    pub(crate) fn call(&mut self, name: &str, arguments: &str, out: &mut Text<'_>) {
        let found = self.named.iter_mut().find(|tool| tool.name == name);
        let missing = Err(ToolError("no such tool"));
        let result = found.map_or(missing, |tool| tool.tool.call(arguments, out));
        report(result, out);
    }
}

/// An error takes the place of the result.
pub(crate) fn report(result: Result<(), ToolError>, out: &mut Text<'_>) {
    if let Err(ToolError(why)) = result {
        out.clear();
        out.push("error");
        if !why.is_empty() {
            out.push(": ");
            out.push(why);
        }
    }
}
