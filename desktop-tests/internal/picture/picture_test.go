package picture

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

func TestPictures(t *testing.T) {
	red, blue := color.RGBA{0xff, 0, 0, 0xff}, color.RGBA{0, 0, 0xff, 0xff}
	img := image.NewRGBA(image.Rect(0, 0, 10, 10))
	for i := range 100 {
		img.SetRGBA(i%10, i/10, blue)
	}
	for x := range 10 {
		img.SetRGBA(x, 3, red)
	}
	file := filepath.Join(t.TempDir(), "a.png")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(f, img); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	read, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := Share(read, red); got != 10 {
		t.Errorf("%v %% are red; want 10", got)
	}
	if got := Differs(img, read); got != 0 {
		t.Errorf("%v %% of a picture differ from itself", got)
	}
	img.SetRGBA(0, 0, red)
	if got := Differs(img, read); got != 1 {
		t.Errorf("%v %% differ; want 1", got)
	}
	if got := Differs(img, image.NewRGBA(image.Rect(0, 0, 5, 5))); got != 100 {
		t.Errorf("pictures of different sizes differ by %v %%; want 100", got)
	}
	if err := os.WriteFile(file, []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file); err == nil {
		t.Error("a file that is no picture is read")
	}
}
