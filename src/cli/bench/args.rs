//! What can be asked of a bench.

use bytesize::ByteSize;
use clap::Args;

use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::erasure::Scheme;

/// Sizes of files where none are named.
const SIZES: [u64; 3] = [1 << 10, 1 << 20, 64 << 20];
const SIZES_QUICK: [u64; 3] = [1 << 10, 64 << 10, 1 << 20];
/// Largest file that is made.
const SIZE_MAX: u64 = 1 << 40;

/// Arguments of `bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// Measure this provider (npub or hexadecimal) over the relays of --relay; repeat for several. What is stored there
    /// is deleted at the end. Without it, a relay and providers are started on this machine, in a temporary folder
    #[arg(long = "provider", value_name = "NPUB")]
    pub providers: Vec<String>,
    /// Compare with the Blossom server at URL (http or https) [default: one over the store of the first provider that is
    /// started]
    #[arg(long, value_name = "URL")]
    pub blossom: Option<String>,
    /// Sizes of the files that are put and got; separate several by commas [default: 1KiB,1MiB,64MiB;
    /// with --quick 1KiB,64KiB,1MiB]
    #[arg(long = "size", value_name = "SIZE", value_delimiter = ',')]
    pub sizes: Vec<ByteSize>,
    /// Providers that each get one shard of every pack [default: 3, or as many as are named]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub spread: Option<u8>,
    /// Shards that are enough to restore [default: two thirds of the spread]
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u8).range(1..))]
    pub need: Option<u8>,
    /// Measure less of everything, in a few seconds
    #[arg(long)]
    pub quick: bool,
}

impl BenchArgs {
    /// The sizes of files, in bytes.
    pub(super) fn sizes(&self) -> Result<Vec<u64>, CliError> {
        let named: Vec<u64> = self.sizes.iter().map(ByteSize::as_u64).collect();
        if let Some(size) = named.iter().find(|size| !(1..=SIZE_MAX).contains(*size)) {
            let happened = format!("--size {} is not possible", ByteSize::b(*size));
            return Err(CliError::new(Exit::Usage, happened, "name sizes such as 1KiB,1MiB,1GiB"));
        }
        Ok(match (named.is_empty(), self.quick) {
            (false, _) => named,
            (true, false) => SIZES.to_vec(),
            (true, true) => SIZES_QUICK.to_vec(),
        })
    }

    /// How packs are coded.
    pub(super) fn scheme(&self) -> Result<Scheme, CliError> {
        let named = u8::try_from(self.providers.len()).unwrap_or(u8::MAX);
        let usual = if named == 0 { 3 } else { named };
        let spread = self.spread.unwrap_or(usual);
        if named > 0 && spread > named {
            let happened = format!("a spread of {spread} needs as many providers, and {named} are named");
            return Err(CliError::new(
                Exit::Usage,
                happened,
                "name more with --provider, or a smaller --spread",
            ));
        }
        let chosen = self.need.map_or_else(|| Scheme::for_spread(spread), |need| Scheme::new(need, spread));
        chosen.map_err(|error| CliError::new(Exit::Usage, error, "choose --need between 1 and --spread"))
    }
}
