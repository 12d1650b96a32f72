import com.alibaba.fastjson2.JSONB;
import com.alibaba.fastjson2.JSONWriter.Feature;
import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.time.LocalDate;
import java.time.LocalDateTime;
import java.time.LocalTime;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

// Writes bodies of requests as Dubbo 3.3 does with fastjson2, each as a line: a name, a blank, and the bytes in hexadecimal digits.
// What each has is said in jsonb_test.go. java -cp fastjson2-2.0.57.jar Bodies.java > bodies.txt makes them anew.
public class Bodies {
    public static class Order implements java.io.Serializable {
        public String name = "a";
        public int number = 7;
        public List<String> lines = new ArrayList<>(Arrays.asList("x", "y"));
        public Order next;
    }

    static void write(DataOutputStream out, Object o) throws Exception {
        byte[] b = JSONB.toBytes(o, Feature.WriteClassName, Feature.FieldBased, Feature.ErrorOnNoneSerializable, Feature.ReferenceDetection, Feature.WriteNulls,
                Feature.NotWriteDefaultValue, Feature.NotWriteHashMapArrayListClassName, Feature.WriteNameAsSymbol);
        out.writeInt(b.length);
        out.write(b);
    }

    static void body(String name, String types, Map<String, Object> attachments, Object... arguments) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        DataOutputStream out = new DataOutputStream(bytes);
        for (String s : new String[] {"2.0.2", "org.example.Greeter", "1.0.0", "greet", types}) {
            write(out, s);
        }
        for (Object o : arguments) {
            write(out, o);
        }
        write(out, attachments);
        StringBuilder hex = new StringBuilder(name).append(' ');
        for (byte b : bytes.toByteArray()) {
            hex.append(String.format("%02x", b));
        }
        System.out.println(hex);
    }

    static String[] many(String one, int n) {
        String[] all = new String[n];
        Arrays.fill(all, one);
        return all;
    }

    static String times(String s, int n) {
        return String.join("", many(s, n));
    }

    public static void main(String[] args) throws Exception {
        Map<String, Object> plain = new HashMap<>();
        plain.put("path", "org.example.Greeter");
        plain.put("interface", "org.example.Greeter");
        plain.put("group", "blue");
        plain.put("timeout", 3000);
        plain.put("dry", true);
        body("plain", "Ljava/lang/String;", plain, "weft");
        body("nothing", "", new HashMap<>());
        body("null", "Ljava/lang/String;", null, (Object) null);
        for (long n : new long[] {0, 1, -1, 15, 16, 47, 48, -16, -17, 2047, 2048, -2048, -2049, 262143, 262144, -262144, -262145, Integer.MAX_VALUE, Integer.MIN_VALUE}) {
            body("int:" + n, "I", plain, (int) n);
            body("long:" + n, "J", plain, n);
        }
        body("long:" + Long.MAX_VALUE, "J", plain, Long.MAX_VALUE);
        body("long:" + Long.MIN_VALUE, "J", plain, Long.MIN_VALUE);
        body("short:-300", "S", plain, (short) -300);
        body("byte:-3", "B", plain, (byte) -3);
        for (double d : new double[] {0, 1, -1, 0.5, 1e300, 3000000000d, -7}) {
            body("double:" + d, "D", plain, d);
            body("float:" + (float) d, "F", plain, (float) d);
        }
        body("bools", "ZZ", plain, true, false);
        body("text:0", "Ljava/lang/String;", plain, "");
        body("text:47", "Ljava/lang/String;", plain, times("a", 47));
        body("text:48", "Ljava/lang/String;", plain, times("a", 48));
        body("text:3000", "Ljava/lang/String;", plain, times("a", 3000));
        body("text:latin", "Ljava/lang/String;", plain, "na\u00efve");
        body("text:han", "Ljava/lang/String;", plain, "\u7ec7\u7f51");
        body("text:face", "Ljava/lang/String;", plain, "a\ud83d\ude00b");

        Map<String, Object> odd = new LinkedHashMap<>();
        Order order = new Order();
        order.next = new Order();
        odd.put("before", "b");
        odd.put("order", order);
        odd.put("again", order);
        odd.put("list", new ArrayList<>(Arrays.asList(1, "two", 3.0, null, new ArrayList<>(Arrays.asList(1L)))));
        odd.put("bytes", new byte[] {1, 2, 3});
        odd.put("big", new BigInteger("123456789012345678901234567890"));
        odd.put("small", BigInteger.TEN);
        odd.put("decimal", new BigDecimal("12345678901234567890.5"));
        odd.put("short", new BigDecimal("1.5"));
        odd.put("date", new Date(1700000000123L));
        odd.put("seconds", new Date(1700000000000L));
        odd.put("minutes", new Date(1700000040000L));
        odd.put("instant", new Date(1700000000123L).toInstant());
        odd.put("day", LocalDate.of(2026, 11, 27));
        odd.put("time", LocalTime.of(1, 2, 3, 4));
        odd.put("moment", LocalDateTime.of(2026, 11, 27, 1, 2, 3, 4));
        odd.put("zoned", LocalDateTime.of(2026, 11, 27, 1, 2, 3, 4).atZone(ZoneId.of("Asia/Shanghai")));
        odd.put("char", 'c');
        odd.put("tree", new TreeMap<>(Map.of("before", "x", "a", 1)));
        odd.put("array", new String[] {"p", "q"});
        odd.put("numbers", new int[] {1, 2, 300000});
        odd.put("uuid", new java.util.UUID(1, 2));
        odd.put("after", "a");
        body("odd", "Lorg/example/Order;[Ljava/lang/String;I", odd, order, new String[] {"p"}, 5);
        body("invoke", "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;", plain, "greet", new String[] {"java.lang.String"}, new Object[] {"weft", 5});
    }
}
