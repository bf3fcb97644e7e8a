// Package picture tells what is on a screenshot.
package picture

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
)

// Read reads a PNG file.
func Read(file string) (image.Image, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return img, nil
}

// Share is how much of a picture has a colour, in percent.
func Share(img image.Image, want color.RGBA) float64 {
	n, b := 0, img.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			if r, g, bl, _ := img.At(x, y).RGBA(); uint8(r>>8) == want.R && uint8(g>>8) == want.G && uint8(bl>>8) == want.B {
				n++
			}
		}
	}
	return 100 * float64(n) / float64(b.Dx()*b.Dy())
}

// Differs is how much of two pictures is not the same, in percent.
func Differs(a, b image.Image) float64 {
	if a.Bounds() != b.Bounds() {
		return 100
	}
	n, r := 0, a.Bounds()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			if a.At(x, y) != b.At(x, y) {
				n++
			}
		}
	}
	return 100 * float64(n) / float64(r.Dx()*r.Dy())
}
