//! Which programs are measured?

use std::path::PathBuf;

use anyhow::Result;

use crate::interop::workspace::Workspace;

/// Where our own programs come from.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// Measure `tollway` and `tollway-bench` in this folder, instead of building them.
    #[arg(long, value_name = "FOLDER")]
    programs: Option<PathBuf>,
}

/// Our own programs.
#[derive(Debug)]
pub(super) struct Programs {
    /// What is measured.
    pub(super) tollway: PathBuf,
    /// What measures it.
    pub(super) bench: PathBuf,
}

impl Source {
    /// Builds them as they are shipped, unless they are given.
    ///
    /// # Errors
    ///
    /// When they do not build.
    pub(super) fn programs(&self, workspace: &Workspace) -> Result<Programs> {
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

/// The profile of what is shipped.
pub(super) const PROFILE: &str = "dist";
