// A client that keeps its connections and repeats no request: java PatientPool.java CA CERTIFICATE KEY POOL...
// A pool is VERSION,RATE,URL: so many POSTs a second over HTTP/1.1 ("1.1") or HTTP/2 ("2"), until standard
// input ends. Says "begun", and for each line of input, and at the end, what each pool has seen: a JSON array.

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.*;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.ByteBuffer;
import java.nio.file.*;
import java.security.KeyFactory;
import java.security.KeyStore;
import java.security.PrivateKey;
import java.security.cert.*;
import java.security.spec.PKCS8EncodedKeySpec;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import javax.net.ssl.*;

public class PatientPool {
    static final int CONNECTIONS = 4;
    static final byte[] BODY = new byte[64];

    final HttpClient.Version version;
    final double rate;
    final URI url;
    final HttpClient client;
    final LongAdder asked = new LongAdder(), sent = new LongAdder();
    final LongAdder answers = new LongAdder(), failures = new LongAdder();
    final LongAccumulator slowest = new LongAccumulator(Math::max, 0);
    final Queue<String> trouble = new ConcurrentLinkedQueue<>();
    volatile boolean over;

    PatientPool(String description, SSLContext context) {
        String[] parts = description.split(",", 3);
        version = parts[0].equals("2") ? HttpClient.Version.HTTP_2 : HttpClient.Version.HTTP_1_1;
        rate = Double.parseDouble(parts[1]);
        url = URI.create(parts[2]);
        client = HttpClient.newBuilder().version(version).sslContext(context).build();
    }

    // The client asks for the body each time it sends the request: more often than once is a repetition.
    BodyPublisher body() {
        BodyPublisher plain = BodyPublishers.ofByteArray(BODY);
        return new BodyPublisher() {
            public long contentLength() {
                return BODY.length;
            }

            public void subscribe(Flow.Subscriber<? super ByteBuffer> subscriber) {
                sent.increment();
                plain.subscribe(subscriber);
            }
        };
    }

    void ask() throws InterruptedException {
        asked.increment();
        long began = System.nanoTime();
        try {
            HttpRequest request = HttpRequest.newBuilder(url)
                .timeout(Duration.ofSeconds(20)).POST(body()).build();
            HttpResponse<byte[]> answer = client.send(request, BodyHandlers.ofByteArray());
            if (answer.statusCode() == 200 && answer.version() == version) {
                answers.increment();
            } else {
                failed(answer.version() + " " + answer.statusCode());
            }
        } catch (IOException error) {
            failed(error.toString());
        }
        slowest.accumulate((System.nanoTime() - began) / 1_000_000);
    }

    void failed(String what) {
        failures.increment();
        if (trouble.size() < 20) {
            trouble.add(what);
        }
    }

    void keepAsking(int number) {
        double period = CONNECTIONS * 1e9 / rate;
        double next = System.nanoTime() + period * number / CONNECTIONS;
        try {
            while (!over) {
                TimeUnit.NANOSECONDS.sleep((long) (next - System.nanoTime()));
                ask();
                next = Math.max(next + period, System.nanoTime());
            }
        } catch (InterruptedException error) {
            failed(error.toString());
        }
    }

    String seen() {
        StringJoiner texts = new StringJoiner(", ", "[", "]");
        for (String one : trouble) {
            texts.add('"' + one.replaceAll("[\\\\\"\\p{Cntrl}]", "'") + '"');
        }
        return String.format(
            "{\"url\": \"%s\", \"version\": \"%s\", \"asked\": %d, \"sent\": %d, \"answers\": %d,"
                + " \"failures\": %d, \"slowest\": %d, \"trouble\": %s}",
            url, version, asked.sum(), sent.sum(), answers.sum(), failures.sum(), slowest.get(), texts);
    }

    static SSLContext context(String ca, String certificate, String key) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        KeyStore believed = KeyStore.getInstance("PKCS12"), own = KeyStore.getInstance("PKCS12");
        believed.load(null, null);
        own.load(null, null);
        try (InputStream stream = Files.newInputStream(Path.of(ca))) {
            believed.setCertificateEntry("ca", factory.generateCertificate(stream));
        }
        String pem = Files.readString(Path.of(key)).replaceAll("-----[^-]+-----", "");
        PrivateKey read = KeyFactory.getInstance("EC")
            .generatePrivate(new PKCS8EncodedKeySpec(Base64.getMimeDecoder().decode(pem)));
        try (InputStream stream = Files.newInputStream(Path.of(certificate))) {
            Certificate[] chain = factory.generateCertificates(stream).toArray(Certificate[]::new);
            own.setKeyEntry("own", read, new char[0], chain);
        }
        KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
        keys.init(own, new char[0]);
        TrustManagerFactory trust = TrustManagerFactory.getInstance("PKIX");
        trust.init(believed);
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(keys.getKeyManagers(), trust.getTrustManagers(), null);
        return context;
    }

    static void tell(List<PatientPool> pools) {
        StringJoiner all = new StringJoiner(", ", "[", "]");
        pools.forEach(pool -> all.add(pool.seen()));
        System.out.println(all);
    }

    public static void main(String[] arguments) throws Exception {
        SSLContext context = context(arguments[0], arguments[1], arguments[2]);
        List<PatientPool> pools = new ArrayList<>();
        List<Thread> threads = new ArrayList<>();
        for (String description : Arrays.asList(arguments).subList(3, arguments.length)) {
            PatientPool pool = new PatientPool(description, context);
            pools.add(pool);
            for (int number = 0; number < CONNECTIONS; number++) {
                int place = number;
                threads.add(new Thread(() -> pool.keepAsking(place)));
            }
        }
        threads.forEach(Thread::start);
        System.out.println("begun");
        BufferedReader input = new BufferedReader(new InputStreamReader(System.in));
        while (input.readLine() != null) {
            tell(pools);
        }
        pools.forEach(pool -> pool.over = true);
        for (Thread thread : threads) {
            thread.join();
        }
        tell(pools);
        System.exit(0); // the client's own threads would be waited for
    }
}
