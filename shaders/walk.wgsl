// Draws walks of z_t through latent space: a trail that fades with a dot at its end, and the cloud of walks from
// other noise seeds. The latents stay in memory as the sampler left them; this shader projects them, interpolates
// between steps and fades the trail. The text of stage.wgsl stands before this one.

struct Walk {
    seeds: u32,
    // The number of steps T.
    steps: u32,
    // The number of pieces that the trail is drawn in.
    pieces: u32,
    // 1 for the second walk, with which the main one is compared.
    second: u32,
}

@group(1) @binding(0) var<uniform> walk: Walk;
// The latents z_t, [seeds, steps + 1, d].
@group(1) @binding(1) var<storage, read> latents: array<f32>;
// The class at which each seed ends.
@group(1) @binding(2) var<storage, read> classes: array<u32>;

// A line with round ends; it is a dot if both ends are the same point.
struct Stroke {
    @builtin(position) position: vec4f,
    @location(0) @interpolate(flat) ends: vec4f,
    @location(1) @interpolate(flat) colour: vec4f,
    // Half of the width of the line, and half of the width of its outline.
    @location(2) @interpolate(flat) widths: vec2f,
    // 1 if the ends are cut off, so that the pieces of a trail do not overlap.
    @location(3) @interpolate(flat) butt: f32,
}

// The place in device pixels of z of seed `s` at `position` in steps; between steps z is interpolated linearly.
fn at(s: u32, position: f32) -> vec2f {
    let clamped = clamp(position, 0.0, f32(walk.steps));
    let k = min(u32(clamped), max(walk.steps, 1u) - 1u);
    let part = clamped - f32(k);
    let start = (s * (walk.steps + 1u) + k) * frame.dims;
    let next = start + select(0u, frame.dims, walk.steps > 0u);
    var point = vec2f(0.0);
    for (var j = 0u; j < frame.dims; j++) {
        let z = mix(latents[start + j], latents[next + j], part);
        point += (z - plane[j].z) * plane[j].xy;
    }
    return place(compress(point));
}

// The stroke at one corner of the quad that contains it.
fn stroke(corner: u32, ends: vec4f, width: f32, outline: f32, colour: vec4f, butt: f32) -> Stroke {
    let along = ends.zw - ends.xy;
    let size = length(along);
    let forward = select(vec2f(1.0, 0.0), along / max(size, 1e-6), size > 1e-6);
    let side = vec2f(-forward.y, forward.x);
    let reach = 0.5 * width + outline + 1.0;
    let sign = 2.0 * vec2f(f32(corner & 1u), f32(corner >> 1u)) - 1.0;
    let end = select(ends.xy, ends.zw, sign.x > 0.0);
    let pixel = end + reach * (sign.x * forward + sign.y * side);
    return Stroke(clip(pixel), ends, colour, vec2f(0.5 * width, outline), butt);
}

// Draws the cloud: instances 2k and 2k + 1 are the tail and the dot of seed k + 1.
@vertex
fn cloud(@builtin(vertex_index) corner: u32, @builtin(instance_index) instance: u32) -> Stroke {
    let s = 1u + instance / 2u;
    let steps = f32(walk.steps);
    let here = at(s, frame.share * steps);
    let colour = hue(classes[s]);
    if instance % 2u == 0u {
        let before = at(s, (frame.share - 0.06) * steps);
        return stroke(corner, vec4f(before, here), 1.5 * frame.ratio, 0.0, vec4f(colour, 0.25), 0.0);
    }
    return stroke(corner, vec4f(here, here), 4.8 * frame.ratio, 0.0, vec4f(colour, 0.6), 0.0);
}

// Draws the walk of seed 0: instances 0 ... pieces - 1 are its trail, the last instance is its dot.
@vertex
fn trail(@builtin(vertex_index) corner: u32, @builtin(instance_index) instance: u32) -> Stroke {
    let second = walk.second == 1u;
    let colour = select(frame.ink.rgb, frame.quiet.rgb, second);
    let position = frame.share * f32(walk.steps);
    if instance == walk.pieces {
        let here = at(0u, position);
        let width = select(15.0, 10.0, second) * frame.ratio;
        return stroke(corner, vec4f(here, here), width, frame.ratio, vec4f(colour, 1.0), 0.0);
    }
    let from_share = f32(instance) / f32(walk.pieces);
    let to_share = f32(instance + 1u) / f32(walk.pieces);
    let ends = vec4f(at(0u, position * from_share), at(0u, position * to_share));
    let width = select(2.5, 1.5, second) * frame.ratio;
    return stroke(corner, ends, width, 0.0, vec4f(colour, 0.12 + 0.75 * to_share), 1.0);
}

@fragment
fn ink(in: Stroke) -> @location(0) vec4f {
    let pixel = in.position.xy;
    let along = in.ends.zw - in.ends.xy;
    let size = length(along);
    let distance = distance_to_segment(pixel, in.ends.xy, in.ends.zw);
    var alpha = in.colour.a * coverage(distance - in.widths.x);
    if in.butt > 0.0 && size > 1e-6 {
        // Each pixel belongs to one piece.
        let ahead = dot(pixel - in.ends.xy, along) / size;
        alpha *= coverage(-ahead) * coverage(ahead - size);
    }
    // Half of the outline's width lies over the dot.
    let edge = select(0.0, coverage(abs(distance - in.widths.x) - in.widths.y), in.widths.y > 0.0);
    let colour = mix(in.colour.rgb * alpha, frame.paper.rgb, edge);
    return vec4f(colour, mix(alpha, 1.0, edge));
}
