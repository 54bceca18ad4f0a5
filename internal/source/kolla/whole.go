package kolla

import (
	"bufio"
	"bytes"
	"crypto/sha1" //nolint:gosec // the format's own checksum, not a protection
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ovsdbWhole follows the records of an OVSDB file, "OVSDB JSON LENGTH SHA1" and then that many bytes: a schema and
// at least one transaction.
func ovsdbWhole(r io.Reader) error {
	br := bufio.NewReader(r)
	for records := 0; ; records++ {
		line, err := br.ReadString('\n')
		if err == io.EOF && line == "" && records >= 2 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("cut after %d OVSDB records", records)
		}
		var magic, format, sum string
		var length int64
		if n, _ := fmt.Sscanf(line, "%5s %4s %d %40s\n", &magic, &format, &length, &sum); n != 4 || magic != "OVSDB" || length < 0 {
			return fmt.Errorf("record %d is not of OVSDB's format", records)
		}
		h := sha1.New() //nolint:gosec // see above
		if _, err := io.CopyN(h, br, length); err != nil {
			return fmt.Errorf("cut inside OVSDB record %d", records)
		}
		if hex.EncodeToString(h.Sum(nil)) != sum {
			return fmt.Errorf("OVSDB record %d does not match its checksum", records)
		}
	}
}

// etcdWhole checks the SHA-256 that etcd appends to the pages of a snapshot.
func etcdWhole(r io.Reader) error {
	const page = 512
	h, size := sha256.New(), int64(0)
	var held []byte // the last bytes so far, which may be the hash
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		size += int64(n)
		held = append(held, buf[:n]...)
		if keep := len(held) - sha256.Size; keep > 0 {
			h.Write(held[:keep])
			held = append(held[:0], held[keep:]...)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if size <= sha256.Size || size%page != sha256.Size || !bytes.Equal(h.Sum(nil), held) {
		return errors.New("the snapshot does not match the hash at its end")
	}
	return nil
}

// jsonWhole wants one JSON object and nothing after it.
func jsonWhole(r io.Reader) error {
	d := json.NewDecoder(r)
	for depth, first := 0, true; first || depth > 0; first = false {
		t, err := d.Token()
		if err != nil {
			return fmt.Errorf("cut or broken JSON: %w", err)
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if first && t != json.Delim('{') {
			return errors.New("not a JSON object")
		}
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("something follows the JSON object")
	}
	return nil
}

// dumpWhole wants the line that ends every dump.
func dumpWhole(r io.Reader) error {
	const end = "-- Dump completed"
	var last []byte
	br := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := br.ReadSlice('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			last = append(last[:0], line[:min(len(line), len(end))]...)
		}
		if err == io.EOF {
			break
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
	if string(last) != end {
		return errors.New("the dump has no completion line")
	}
	return nil
}
