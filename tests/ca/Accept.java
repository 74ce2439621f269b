// Java's PKIX validation of certificate chains: java Accept.java ROOT CRLS CHAIN...
// One line a chain: "accepted: FILE", or "refused: REASON".

import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.*;
import java.util.*;

public class Accept {
    public static void main(String[] arguments) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        X509Certificate root;
        try (InputStream stream = Files.newInputStream(Path.of(arguments[0]))) {
            root = (X509Certificate) factory.generateCertificate(stream);
        }
        List<Object> lists;
        try (InputStream stream = Files.newInputStream(Path.of(arguments[1]))) {
            lists = new ArrayList<>(factory.generateCRLs(stream));
        }
        for (String file : Arrays.asList(arguments).subList(2, arguments.length)) {
            List<Certificate> chain;
            try (InputStream stream = Files.newInputStream(Path.of(file))) {
                chain = new ArrayList<>(factory.generateCertificates(stream));
            }
            PKIXParameters parameters = new PKIXParameters(Set.of(new TrustAnchor(root, null)));
            parameters.setRevocationEnabled(true);
            parameters.addCertStore(
                CertStore.getInstance("Collection", new CollectionCertStoreParameters(lists)));
            try {
                CertPathValidator.getInstance("PKIX")
                    .validate(factory.generateCertPath(chain), parameters);
                System.out.println("accepted: " + file);
            } catch (CertPathValidatorException refusal) {
                System.out.println("refused: " + refusal.getReason() + " " + refusal.getMessage());
            }
        }
    }
}
