//! Compute devices by their names on the command line, and the graphics adapters of this machine.

use std::str::FromStr;

use anyhow::{Result, bail};
use burn::tensor::{Device, DeviceKind};
use serde::Serialize;

/// A device as the user names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// A real GPU when there is one, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// The wgpu adapter of this index in the list of `noprop devices`.
    Wgpu(Option<usize>),
    /// A CUDA device.
    Cuda(usize),
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, index) = match text.split_once(':') {
            Some((name, index)) => {
                let index = index.parse().map_err(|_| {
                    format!("{index:?} is no index; expected a form such as {name}:0")
                })?;
                (name, Some(index))
            }
            None => (text, None),
        };
        match (name, index) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("wgpu", index) => Ok(Self::Wgpu(index)),
            ("cuda", index) => Ok(Self::Cuda(index.unwrap_or(0))),
            _ => Err(format!(
                "no device is called {text:?}, expected auto, cpu, wgpu, wgpu:N, cuda or cuda:N"
            )),
        }
    }
}

/// An adapter that wgpu found.
#[derive(Debug, Clone, Serialize)]
pub struct Adapter {
    /// Index for `--device wgpu:N`.
    pub index: usize,
    /// The name of the hardware or of the software that stands in for it.
    pub name: String,
    /// Graphics interface, such as Vulkan.
    pub backend: String,
    /// Kind of adapter: discrete-gpu, integrated-gpu, virtual-gpu, software or other.
    pub kind: &'static str,
    #[serde(skip)]
    device: DeviceKind,
}

impl Adapter {
    fn is_gpu(&self) -> bool {
        matches!(self.kind, "discrete-gpu" | "integrated-gpu" | "virtual-gpu")
    }
}

/// The adapters that this build can compute on, GPUs first.
pub fn adapters() -> Vec<Adapter> {
    // OpenGL is left out: it cannot compute here, and prints warnings if there is no display.
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = backends;
    let instance = wgpu::Instance::new(descriptor);
    let mut counts = [0; 5];
    let mut found: Vec<Adapter> = pollster::block_on(instance.enumerate_adapters(backends))
        .into_iter()
        .filter_map(|adapter| {
            let info = adapter.get_info();
            // Indices count within a kind of adapter, as in burn's device selector.
            let mut next = |slot: usize| {
                counts[slot] += 1;
                counts[slot] - 1
            };
            let (kind, device) = match info.device_type {
                wgpu::DeviceType::DiscreteGpu => ("discrete-gpu", DeviceKind::DiscreteGpu(next(0))),
                wgpu::DeviceType::IntegratedGpu => {
                    ("integrated-gpu", DeviceKind::IntegratedGpu(next(1)))
                }
                wgpu::DeviceType::VirtualGpu => ("virtual-gpu", DeviceKind::VirtualGpu(next(2))),
                wgpu::DeviceType::Cpu if next(3) == 0 => ("software", DeviceKind::Cpu),
                _ => return None,
            };
            let backend = info.backend.to_string();
            Some(Adapter {
                index: 0,
                name: info.name,
                backend,
                kind,
                device,
            })
        })
        .collect();
    found.sort_by_key(|adapter| match adapter.kind {
        "discrete-gpu" => 0,
        "integrated-gpu" => 1,
        "virtual-gpu" => 2,
        _ => 3,
    });
    found
        .iter_mut()
        .enumerate()
        .for_each(|(i, adapter)| adapter.index = i);
    found
}

/// A device with its name.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// The device, off autodiff.
    pub device: Device,
    /// The name of the device for messages.
    pub name: String,
    /// Whether the device is the CPU backend, where a batch is sharded over threads.
    pub is_cpu: bool,
}

impl Chosen {
    /// The number of threads to use: on the CPU `asked`, where 0 or `None` stands for one per core; on other devices 1.
    pub fn threads(&self, asked: Option<usize>) -> usize {
        if !self.is_cpu {
            return 1;
        }
        match asked {
            None | Some(0) => std::thread::available_parallelism().map_or(1, |n| n.get()),
            Some(n) => n,
        }
    }
}

/// Finds the device that `choice` names.
///
/// # Errors
/// When the device does not exist, or this build cannot use it.
pub fn choose(choice: DeviceChoice) -> Result<Chosen> {
    match choice {
        DeviceChoice::Cpu => Ok(cpu()),
        DeviceChoice::Auto => Ok(match adapters().into_iter().find(Adapter::is_gpu) {
            Some(adapter) => wgpu_device(&adapter),
            None => cpu(),
        }),
        DeviceChoice::Wgpu(index) => {
            let adapters = adapters();
            match adapters.get(index.unwrap_or(0)) {
                Some(adapter) => {
                    if !adapter.is_gpu() {
                        eprintln!(
                            "note: {} is a software adapter, slower than --device cpu",
                            adapter.name
                        );
                    }
                    Ok(wgpu_device(adapter))
                }
                None if adapters.is_empty() => bail!(
                    "no wgpu adapter was found (Vulkan, Metal or DX12); install a graphics driver, \
                     or use --device cpu"
                ),
                None => bail!(
                    "there is no wgpu adapter {}, only {}; `noprop devices` lists them",
                    index.unwrap_or(0),
                    adapters.len()
                ),
            }
        }
        DeviceChoice::Cuda(index) => cuda(index),
    }
}

fn cpu() -> Chosen {
    Chosen {
        device: Device::flex(),
        name: "CPU".into(),
        is_cpu: true,
    }
}

fn wgpu_device(adapter: &Adapter) -> Chosen {
    Chosen {
        device: Device::wgpu(adapter.device.clone()),
        name: format!("{} ({})", adapter.name, adapter.backend),
        is_cpu: false,
    }
}

#[cfg(feature = "cuda")]
fn cuda(index: usize) -> Result<Chosen> {
    Ok(Chosen {
        device: Device::cuda(index),
        name: format!("CUDA {index}"),
        is_cpu: false,
    })
}

#[cfg(not(feature = "cuda"))]
fn cuda(_: usize) -> Result<Chosen> {
    bail!(
        "this build has no CUDA; build it with `cargo build --release --features cuda`, \
         or use --device wgpu or --device cpu"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        assert_eq!("wgpu:2".parse(), Ok(DeviceChoice::Wgpu(Some(2))));
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
        assert!("gpu".parse::<DeviceChoice>().unwrap_err().contains("wgpu"));
        assert!(
            "wgpu:x"
                .parse::<DeviceChoice>()
                .unwrap_err()
                .contains("wgpu:0")
        );
    }
}
