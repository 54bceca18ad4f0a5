package kollatree

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pair
}

// pair is a certificate and its key, as PEM.
type pair struct{ cert, key string }

// certificates writes /etc/kolla/certificates and the certificates of Octavia's own authorities.
func (w *writer) certificates() {
	dir := w.spec.DeployDir + "/certificates"
	ca := w.authority("root.example.org")
	external := w.issue(ca, "public.example.org")
	internal := w.issue(ca, "internal.example.org")
	backend := w.issue(ca, "backend.example.org")
	libvirt := w.issue(ca, "libvirt.example.org")
	w.tree.RootCA = dir + "/ca/root.crt"
	w.file(w.tree.RootCA, 0o644, root, ca.pair.cert)
	w.file(dir+"/haproxy.pem", 0o660, root, external.cert+external.key)
	w.file(dir+"/haproxy-internal.pem", 0o660, root, internal.cert+internal.key)
	for _, name := range []string{"backend", "rabbitmq", "mariadb"} {
		w.file(dir+"/"+name+"-cert.pem", 0o660, root, backend.cert)
		w.file(dir+"/"+name+"-key.pem", 0o660, root, backend.key)
	}
	for name, p := range map[string]pair{"root": ca.pair, "external": external, "internal": internal, "backend": backend, "libvirt": libvirt} {
		w.file(dir+"/private/"+name+"/"+name+".crt", 0o640, root, p.cert)
		w.file(dir+"/private/"+name+"/"+name+".key", 0o600, root, p.key)
	}
	nova := w.spec.DeployDir + "/config/nova/nova-libvirt/"
	w.file(nova+"cacert.pem", 0o644, root, ca.pair.cert)
	w.file(nova+"servercert.pem", 0o644, root, libvirt.cert)
	w.file(nova+"serverkey.pem", 0o600, root, libvirt.key)
	w.octaviaCertificates()
}

// octaviaCertificates writes the two authorities under which amphorae are reached, where they were made and where
// they are deployed from.
func (w *writer) octaviaCertificates() {
	work := w.spec.DeployDir + "/octavia-certificates"
	deployed := w.spec.DeployDir + "/config/octavia"
	server, client := w.authority("octavia server CA"), w.authority("octavia client CA")
	controller := w.issue(client, "octavia controller")
	for _, dir := range []string{work, deployed} {
		w.file(dir+"/server_ca.cert.pem", 0o644, root, server.pair.cert)
		w.file(dir+"/server_ca.key.pem", 0o600, root, server.pair.key)
		w.file(dir+"/client_ca.cert.pem", 0o644, root, client.pair.cert)
		w.file(dir+"/client.cert-and-key.pem", 0o600, root, controller.cert+controller.key)
	}
	w.file(work+"/client_ca/client_ca.key.pem", 0o600, root, client.pair.key)
	w.file(work+"/client_ca/index.txt", 0o644, root, "V\t361122000000Z\t\t1000\tunknown\t/CN=octavia controller\n")
	w.file(work+"/client_ca/serial", 0o644, root, "1001\n")
}

func (w *writer) authority(name string) authority {
	template := certificate(name, 10*365)
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	a := authority{cert: template}
	a.pair = w.sign(&a, template)
	return a
}

func (w *writer) issue(by authority, name string) pair {
	template := certificate(name, 365)
	template.DNSNames = []string{name}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	return w.sign(&by, template)
}

func certificate(name string, days int) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(randomBytes(16)), Subject: pkix.Name{CommonName: name, Organization: []string{"Kolla"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(0, 0, days),
	}
}

// sign makes a key and has its certificate signed; an authority without a key signs itself with it.
func (w *writer) sign(by *authority, template *x509.Certificate) (p pair) {
	w.do("make certificate", func() error {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		if by.key == nil {
			by.key = key
		}
		cert, err := x509.CreateCertificate(rand.Reader, template, by.cert, &key.PublicKey, by.key)
		if err != nil {
			return err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		p.cert = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}))
		p.key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
		return nil
	})
	return p
}
