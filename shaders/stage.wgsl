// The part that field.wgsl and walk.wgsl share: the frame, and the way from latent space to the canvas. The host
// puts this text before each of them.

struct Frame {
    // The size of the canvas in device pixels.
    size: vec2f,
    // The radius of the disc in device pixels.
    radius: f32,
    // The number of device pixels per CSS pixel.
    ratio: f32,
    // The part of the walk that is done, 0 ... 1.
    share: f32,
    // The distance `half` of the compression r / (r + half) onto the disc.
    half: f32,
    // Latent dimension d.
    dims: u32,
    // The number of points of the field along the diameter; 0 if the field is not shown.
    grid: u32,
    ink: vec4f,
    quiet: vec4f,
    line: vec4f,
    paper: vec4f,
    hues: array<vec4f, 10>,
}

@group(0) @binding(0) var<uniform> frame: Frame;
// The two axes of the plane, the centre and zero, for each latent dimension.
@group(0) @binding(1) var<storage, read> plane: array<vec4f>;

// From the plane to the unit disc. The point is divided by its larger coordinate first, since the squares of
// a walk that explodes would overflow.
fn compress(point: vec2f) -> vec2f {
    let largest = max(max(abs(point.x), abs(point.y)), 1e-30);
    let distance = length(point / largest) * largest;
    return point / (distance + frame.half);
}

// From the unit disc back to the plane; the rim is at infinity.
fn expand(point: vec2f) -> vec2f {
    let distance = min(length(point), 0.999);
    return point * (frame.half / (1.0 - distance));
}

// From the unit disc to device pixels, y downwards.
fn place(point: vec2f) -> vec2f {
    return 0.5 * frame.size + frame.radius * point;
}

// From device pixels to the rasteriser.
fn clip(pixel: vec2f) -> vec4f {
    let ndc = 2.0 * pixel / frame.size - 1.0;
    return vec4f(ndc.x, -ndc.y, 0.0, 1.0);
}

fn hue(index: u32) -> vec3f {
    return frame.hues[index % 10u].rgb;
}

// The distance of `pixel` to the segment from `a` to `b`.
fn distance_to_segment(pixel: vec2f, a: vec2f, b: vec2f) -> f32 {
    let along = b - a;
    let share = clamp(dot(pixel - a, along) / max(dot(along, along), 1e-12), 0.0, 1.0);
    return length(pixel - a - share * along);
}

// The coverage of a pixel whose centre lies `outside` pixels beyond an edge.
fn coverage(outside: f32) -> f32 {
    return clamp(0.5 - outside, 0.0, 1.0);
}
