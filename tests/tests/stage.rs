//! The pixels of the stage on a software adapter, against places and colours that are computed here.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use noprop_stage::{Arrow, Field, Frame, Plane, RecordedWalks, Renderer, Style, WalkRole};
use noprop_tests::has_software_vulkan;
use pollster::block_on;

const SIZE: u32 = 256;
const RADIUS: f32 = 100.0;
const INK: [u8; 3] = [255, 255, 255];
const PAPER: [u8; 3] = [0, 0, 51];
const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 255, 0];

/// A device on a software adapter; `None`, with a printed note, if there is none.
fn device() -> Option<(wgpu::Device, wgpu::Queue)> {
    if !has_software_vulkan("stage") {
        return None;
    }
    let instance = wgpu::Instance::default();
    let options = wgpu::RequestAdapterOptions {
        force_fallback_adapter: true,
        ..Default::default()
    };
    let adapter = block_on(instance.request_adapter(&options)).unwrap();
    Some(block_on(adapter.request_device(&Default::default())).unwrap())
}

fn colour(bytes: [u8; 3]) -> [f32; 3] {
    bytes.map(|byte| f32::from(byte) / 255.0)
}

/// A renderer for a latent space of two dimensions that is its own plane, r ↦ r/(r + 1).
fn renderer(device: &wgpu::Device, queue: &wgpu::Queue) -> Renderer {
    let mut hues = [colour(RED); 10];
    hues[1] = colour(GREEN);
    let style = Style {
        ink: colour(INK),
        quiet: colour([128; 3]),
        // The rings have the colour of the paper, so they are not seen.
        line: colour(PAPER),
        paper: colour(PAPER),
        hues,
    };
    let format = wgpu::TextureFormat::Rgba8Unorm;
    let mut renderer = Renderer::new(device.clone(), queue.clone(), format, style);
    renderer.set_plane(&Plane {
        axes: &[1.0, 0.0, 0.0, 1.0],
        centre: &[0.0, 0.0],
        half: 1.0,
    });
    renderer
}

fn frame(share: f32) -> Frame {
    Frame {
        size: [SIZE as f32; 2],
        radius: RADIUS,
        ratio: 1.0,
        share,
        cloud: true,
        field: true,
    }
}

/// The place `(column, row)` in the picture at which a point of the plane is shown.
fn place([x, y]: [f32; 2]) -> (u32, u32) {
    let scale = RADIUS / (x.hypot(y) + 1.0);
    let middle = SIZE as f32 / 2.0;
    ((middle + scale * x) as u32, (middle + scale * y) as u32)
}

struct Picture(Vec<u8>);

impl Picture {
    fn at(&self, (x, y): (u32, u32)) -> [u8; 4] {
        let start = 4 * (y * SIZE + x) as usize;
        self.0[start..start + 4].try_into().unwrap()
    }

    fn check(&self, at: (u32, u32), [r, g, b]: [u8; 3], what: &str) {
        let found = self.at(at);
        // The tolerance is one unit, for the rounding to eight bits.
        let near = found
            .iter()
            .zip([r, g, b, 255])
            .all(|(a, b)| a.abs_diff(b) <= 1);
        assert!(near, "{what} at {at:?}: {found:?}");
    }
}

fn picture(device: &wgpu::Device, queue: &wgpu::Queue, stage: &Renderer, frame: &Frame) -> Picture {
    let size = wgpu::Extent3d {
        width: SIZE,
        height: SIZE,
        depth_or_array_layers: 1,
    };
    let texture = device.create_texture(&wgpu::TextureDescriptor {
        label: None,
        size,
        mip_level_count: 1,
        sample_count: 1,
        dimension: wgpu::TextureDimension::D2,
        format: wgpu::TextureFormat::Rgba8Unorm,
        usage: wgpu::TextureUsages::RENDER_ATTACHMENT | wgpu::TextureUsages::COPY_SRC,
        view_formats: &[],
    });
    stage.draw(&texture.create_view(&Default::default()), frame);
    let buffer = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: u64::from(4 * SIZE * SIZE),
        usage: wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ,
        mapped_at_creation: false,
    });
    let mut encoder = device.create_command_encoder(&Default::default());
    let layout = wgpu::TexelCopyBufferLayout {
        offset: 0,
        bytes_per_row: Some(4 * SIZE),
        rows_per_image: None,
    };
    let to = wgpu::TexelCopyBufferInfo {
        buffer: &buffer,
        layout,
    };
    encoder.copy_texture_to_buffer(texture.as_image_copy(), to, size);
    queue.submit([encoder.finish()]);
    buffer.map_async(wgpu::MapMode::Read, .., |mapped| mapped.unwrap());
    device.poll(wgpu::PollType::wait_indefinitely()).unwrap();
    Picture(buffer.get_mapped_range(..).unwrap().to_vec())
}

#[test]
fn a_walk_is_where_its_latents_say() {
    let Some((device, queue)) = device() else {
        return;
    };
    let mut stage = renderer(&device, &queue);
    // There are two seeds and two steps: the main walk goes right, then down; the other one stays on the left.
    let corners = [[1.0, 0.0], [3.0, 0.0], [3.0, 3.0]];
    let left = [-1.5, 0.5];
    let latents = [corners, [left; 3]].concat().concat();
    stage.set_walk(
        WalkRole::Main,
        Some(&RecordedWalks {
            latents: &latents,
            classes: &[0, 1],
            steps: 2,
        }),
    );
    let (middle, corner) = ((SIZE / 2, SIZE / 2), (3, 3));
    // The frame is half-way through the second step; between steps the walk is on a straight line.
    let shown = picture(&device, &queue, &stage, &frame(0.75));
    shown.check(place([3.0, 1.5]), INK, "dot");
    shown.check(middle, PAPER, "paper");
    assert_eq!(shown.at(corner), [0; 4], "beyond the disc");
    let end = shown.at(place(corners[2]));
    assert_eq!(end, shown.at(middle), "where it will end nothing is yet");
    // The cloud's dot is 0.6 green over its tail of 0.25 green over the paper.
    let mix = |below: f32, share: f32, hue: f32| below + share * (hue - below);
    let green = colour(GREEN);
    let expected = [0, 1, 2].map(|c| {
        let tail = mix(colour(PAPER)[c], 0.25, green[c]);
        (255.0 * mix(tail, 0.6, green[c])).round() as u8
    });
    // The tail is thinner than two pixels and may cover this pixel in part: up to 0.1 of 255.
    let cloud = shown.at(place(left));
    assert!(
        cloud[1].abs_diff(expected[1]) <= 27 && cloud[0] <= 1,
        "cloud: {cloud:?}, expected {expected:?}"
    );
    // The trail grows darker towards the dot.
    let ink = |at| u32::from(shown.at(at)[0]);
    assert!(ink(place([1.5, 0.0])) > 20, "trail");
    assert!(ink(place([1.5, 0.0])) < ink(place([3.0, 0.7])), "it fades");

    let without = Frame {
        cloud: false,
        ..frame(1.0)
    };
    let shown = picture(&device, &queue, &stage, &without);
    shown.check(place(left), PAPER, "no cloud");
    shown.check(place(corners[2]), INK, "dot at the end");

    stage.set_walk(WalkRole::Main, None);
    let shown = picture(&device, &queue, &stage, &frame(1.0));
    shown.check(place(corners[2]), PAPER, "no walk");
}

#[test]
fn an_explosion_stays_on_the_disc() {
    let Some((device, queue)) = device() else {
        return;
    };
    let mut stage = renderer(&device, &queue);
    stage.set_walk(
        WalkRole::Main,
        Some(&RecordedWalks {
            latents: &[0.0, 0.0, 1e30, 0.0],
            classes: &[0],
            steps: 1,
        }),
    );
    let shown = picture(&device, &queue, &stage, &frame(1.0));
    let rim = (SIZE / 2 + RADIUS as u32, SIZE / 2);
    shown.check(rim, INK, "dot on the rim");
}

#[test]
fn the_field_shows_what_is_believed_where() {
    let Some((device, queue)) = device() else {
        return;
    };
    let mut stage = renderer(&device, &queue);
    // The grid of 5 × 5 is at disc coordinates −1, −½, 0, ½, 1: red above, green from the middle down.
    let arrows: Vec<Arrow> = (0..25)
        .map(|k| Arrow {
            velocity: [1.0, 0.0],
            class: (k != 0).then_some(u32::from(k >= 10)),
        })
        .collect();
    stage.set_field(&Field {
        grid: 5,
        arrows: &arrows,
    });
    let shown = picture(&device, &queue, &stage, &frame(0.0));
    let tint = |hue: [u8; 3]| {
        [0, 1, 2].map(|c| {
            let (below, hue) = (f32::from(PAPER[c]), f32::from(hue[c]));
            (below + 0.12 * (hue - below)).round() as u8
        })
    };
    let at = |x: f32, y: f32| {
        let pixel = |v: f32| (SIZE as f32 / 2.0 + RADIUS * v) as u32;
        (pixel(x), pixel(y))
    };
    // The point is a fifth of a cell above or below the arrow, within the cell.
    shown.check(at(0.0, -0.6), tint(RED), "red cell");
    shown.check(at(0.0, 0.6), tint(GREEN), "green cell");
    // The arrow points right. Its line covers half of this pixel: 0.55 of grey 128 over no red.
    let line = shown.at(at(0.5, 0.0));
    assert!(line[0].abs_diff(35) <= 1, "arrow: {line:?}");
    let hidden = Frame {
        field: false,
        ..frame(0.0)
    };
    let shown = picture(&device, &queue, &stage, &hidden);
    shown.check(at(0.0, -0.6), PAPER, "no field");
}
