// The difference of two screenshots.

// The share of pixels of two PNG files of one size whose colours differ by more than `tolerance` of
// 255 in any channel. The page's own browser decodes them.
export async function difference(page, first, second, tolerance = 24) {
  return page.evaluate(async ([files, limit]) => {
    const pixels = await Promise.all(files.map(async (base64) => {
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
      const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
      context.drawImage(bitmap, 0, 0);
      return context.getImageData(0, 0, bitmap.width, bitmap.height);
    }));
    const [a, b] = pixels;
    if (a.width !== b.width || a.height !== b.height) throw new Error("the pictures have different sizes");
    let apart = 0;
    for (let i = 0; i < a.data.length; i += 4) {
      const far = [0, 1, 2].some((c) => Math.abs(a.data[i + c] - b.data[i + c]) > limit);
      apart += far ? 1 : 0;
    }
    return (4 * apart) / a.data.length;
  }, [[first, second].map((png) => png.toString("base64")), tolerance]);
}
