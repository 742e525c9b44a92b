//! Tables of the measured figures.
#![expect(clippy::print_stdout, reason = "the tables are the output")]

use super::Measured;
use super::case::Proxy;
use super::case::{Case, Unit};
use super::window::{Figure, Record};
use crate::bench::figures::median;

/// Prints the figures of one case.
pub(super) fn print(Measured { case, records }: &Measured) {
    let Some(nginx) = records.first() else { return };
    let (unit, scale) = match case.unit() {
        Unit::Request => ("requests/s | × nginx | CPU µs/request", 1.0),
        Unit::Megabyte { per_request } => ("MB/s | × nginx | CPU µs/MB", per_request),
    };
    println!("\n{}\n", case.title());
    println!(
        "| proxy | {unit} | × nginx | p50 µs | × nginx | p99 µs | × nginx | peak MiB | of its core | others there | load's core |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    for record in records {
        let timed = |figure, scale: f64, digits: usize| {
            let value = record.median(figure) * scale;
            let ratio = median(record.ratios(figure, nginx));
            format!("{value:.digits$} | {ratio:.2}")
        };
        println!(
            "| {} | {} | {} | {} | {} | {:.1} | {:.0} % | {:.0} % | {:.0} % |",
            record.proxy.name(),
            timed(Figure::PerSecond, scale, 0),
            timed(Figure::CpuMicros, 1.0 / scale, 2),
            timed(Figure::P50, 1.0, 0),
            timed(Figure::P99, 1.0, 0),
            record.peak_mib,
            record.median(Figure::OfCore) * 100.0,
            record.median(Figure::Others) * 100.0,
            record.median(Figure::LoadCore) * 100.0,
        );
    }
}

/// Prints the peak memory of every proxy after every case; each case has processes of its own.
pub(super) fn print_memory(measured: &[Measured]) {
    let names = PROXIES.map(Proxy::name).join(" | ");
    println!("\nPeak memory, MiB; each case has processes of its own\n");
    println!("| case | {names} |");
    println!("|---|---:|---:|---:|---:|---:|");
    for Measured { case, records } in measured {
        println!("| {} | {} |", Case::name(*case), peaks(records).join(" | "));
    }
}

fn peaks(records: &[Record]) -> [String; PROXIES.len()] {
    PROXIES.map(|proxy| {
        records
            .iter()
            .find(|record| record.proxy == proxy)
            .map(|record| format!("{:.1}", record.peak_mib))
            .unwrap_or_default()
    })
}

const PROXIES: [Proxy; 5] = [
    Proxy::Nginx,
    Proxy::NginxUnbuffered,
    Proxy::Haproxy,
    Proxy::Tollway,
    Proxy::TollwayFree,
];
