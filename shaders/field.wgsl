// Draws the disc of latent space with its rings and, if the frame asks for it, the velocity field. Each grid point
// has a cell in the colour of the class to which the denoiser gives the largest probability, and a line along
// dz/dlambda with a dot at its tip. The text of stage.wgsl stands before this one.

struct Arrow {
    // The derivative dz/dlambda in the coordinates of the plane.
    velocity: vec2f,
    // The class of the largest probability; NONE outside of the disc.
    believed: u32,
    padding: u32,
}

const NONE = 0xffffffffu;

@group(1) @binding(0) var<storage, read> arrows: array<Arrow>;

@vertex
fn whole_canvas(@builtin(vertex_index) corner: u32) -> @builtin(position) vec4f {
    return vec4f(f32(corner & 1u) * 4.0 - 1.0, f32(corner >> 1u) * 4.0 - 1.0, 0.0, 1.0);
}

@fragment
fn disc(@builtin(position) position: vec4f) -> @location(0) vec4f {
    let here = position.xy - 0.5 * frame.size;
    let distance = length(here);
    var colour = frame.paper.rgb;
    for (var quarter = 1; quarter <= 4; quarter++) {
        let ring = abs(distance - 0.25 * f32(quarter) * frame.radius) - 0.5 * frame.ratio;
        colour = mix(colour, frame.line.rgb, coverage(ring));
    }
    let inside = coverage(distance - frame.radius - 0.5 * frame.ratio);
    if frame.grid > 0u && distance < frame.radius {
        colour = field(here / frame.radius, colour);
    }
    return vec4f(colour * inside, inside);
}

// The colour of the field at `point` of the unit disc, drawn over the colour `below`.
fn field(point: vec2f, below: vec3f) -> vec3f {
    let cells = f32(frame.grid - 1u);
    let cell = clamp(round(0.5 * (point + 1.0) * cells), vec2f(0.0), vec2f(cells));
    let arrow = arrows[u32(cell.y) * frame.grid + u32(cell.x)];
    if arrow.believed == NONE {
        return below;
    }
    var colour = mix(below, hue(arrow.believed), 0.12);
    let middle = 2.0 * cell / cells - 1.0;
    // The direction on the disc of a small step in the plane along the velocity.
    let step = compress(expand(middle) + 0.05 * arrow.velocity) - middle;
    let size = length(step);
    if size > 1e-7 {
        let reach = (0.42 * 2.0 / cells) * (size / (size + 0.004)) / size;
        let pixel = frame.radius * (point - middle);
        let tip = 0.5 * reach * frame.radius * step;
        let line = distance_to_segment(pixel, -tip, tip) - 0.5 * frame.ratio;
        let head = length(pixel - tip) - 1.4 * frame.ratio;
        colour = mix(colour, frame.quiet.rgb, 0.55 * coverage(min(line, head)));
    }
    return colour;
}
