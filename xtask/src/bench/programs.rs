//! Our programs to measure: built as shipped, or given by the caller.

use std::path::PathBuf;

use anyhow::Result;

use crate::interop::workspace::Workspace;

/// Arguments that choose our programs.
#[derive(Debug, clap::Args)]
pub(crate) struct Source {
    /// Measure `tollway` and `tollway-bench` in this folder, instead of building them.
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
}

/// Our own programs.
#[derive(Debug)]
pub(crate) struct Programs {
    /// The measured program.
    pub(crate) tollway: PathBuf,
    /// The load and the buyers.
    pub(crate) bench: PathBuf,
}

impl Source {
    /// Builds the programs as they are shipped, unless they are given.
    ///
    /// # Errors
    ///
    /// When a program does not build.
    pub(crate) fn programs(&self, workspace: &Workspace) -> Result<Programs> {
        match &self.programs {
            Some(folder) => Ok(Programs {
                tollway: folder.join("tollway"),
                bench: folder.join("tollway-bench"),
            }),
            None => Ok(Programs {
                tollway: workspace.tollway()?,
                bench: workspace.bench()?,
            }),
        }
    }
}

/// The profile that is shipped.
pub(crate) const PROFILE: &str = "release";
