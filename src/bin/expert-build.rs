//! The `expert-build` command.

fn main() -> std::process::ExitCode {
    expert_build::cli::main(expert_build::cli::Program::ExpertBuild)
}
