//! The `expert-cli` command: the flags it always had, the behaviour of `expert-build`.

fn main() -> std::process::ExitCode {
    expert_build::cli::main(expert_build::cli::Program::ExpertCli)
}
