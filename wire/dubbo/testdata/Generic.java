package org.example;

import com.alibaba.com.caucho.hessian.io.Hessian2Output;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.io.Serializable;
import java.lang.reflect.Array;
import java.lang.reflect.Method;
import java.lang.reflect.Type;
import java.math.BigDecimal;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.Collections;
import java.util.Date;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TimeZone;
import java.util.TreeMap;
import org.apache.dubbo.common.URL;
import org.apache.dubbo.common.serialize.ObjectInput;
import org.apache.dubbo.common.serialize.ObjectOutput;
import org.apache.dubbo.common.serialize.hessian2.Hessian2Serialization;
import org.apache.dubbo.common.utils.PojoUtils;
import org.apache.dubbo.common.utils.ReflectUtils;
import org.apache.dubbo.rpc.service.GenericException;

// Reads calls and writes answers as providers of Dubbo 3.3.5 do for generic calls, with dubbo-3.3.5.jar, hessian-lite-4.0.3.jar and what they need on the class path.
//
// java -cp ... org.example.Generic arguments < arguments.txt tells of each call there, in what it prints, what Java makes of its argument; java -cp ... org.example.Generic answers > answers.txt writes answers, each as a line: a name, a
// blank, and the bytes in hexadecimal digits.
public class Generic {
    public enum Color { RED, BLUE }

    public static class Item implements Serializable {
        public String name;
        public BigDecimal price;
        public Item() {}
        Item(String name, BigDecimal price) { this.name = name; this.price = price; }
    }

    public static class Order implements Serializable {
        private long id;
        private Integer count;
        private short small;
        private char letter;
        private Boolean paid;
        private double weight;
        private BigInteger big;
        private Date at;
        private Color color;
        private byte[] bytes;
        private long[] longs;
        private Set<Color> colors;
        private List<Item> items;
        private Map<Long, Item> byId;
        public long getId() { return id; }
        public void setId(long v) { id = v; }
        public Integer getCount() { return count; }
        public void setCount(Integer v) { count = v; }
        public short getSmall() { return small; }
        public void setSmall(short v) { small = v; }
        public char getLetter() { return letter; }
        public void setLetter(char v) { letter = v; }
        public Boolean getPaid() { return paid; }
        public void setPaid(Boolean v) { paid = v; }
        public double getWeight() { return weight; }
        public void setWeight(double v) { weight = v; }
        public BigInteger getBig() { return big; }
        public void setBig(BigInteger v) { big = v; }
        public Date getAt() { return at; }
        public void setAt(Date v) { at = v; }
        public Color getColor() { return color; }
        public void setColor(Color v) { color = v; }
        public byte[] getBytes() { return bytes; }
        public void setBytes(byte[] v) { bytes = v; }
        public long[] getLongs() { return longs; }
        public void setLongs(long[] v) { longs = v; }
        public Set<Color> getColors() { return colors; }
        public void setColors(Set<Color> v) { colors = v; }
        public List<Item> getItems() { return items; }
        public void setItems(List<Item> v) { items = v; }
        public Map<Long, Item> getById() { return byId; }
        public void setById(Map<Long, Item> v) { byId = v; }
    }

    // What is declared with something between < and >.
    interface Declared {
        void a(List<Long> v);
        void b(Set<Color> v);
        void c(Map<String, BigDecimal> v);
        void d(Map<Integer, Item> v);
        void e(List<Item> v);
        void f(List<BigInteger> v);
        void g(List<Date> v);
    }

    static String show(Object o) throws Exception {
        if (o == null) return "null";
        String name = o.getClass().getSimpleName();
        if (o.getClass().isArray()) {
            List<String> list = new ArrayList<>();
            for (int i = 0; i < Array.getLength(o); i++) list.add(show(Array.get(o, i)));
            return name + list;
        }
        if (o instanceof Collection) {
            List<String> list = new ArrayList<>();
            for (Object v : (Collection<?>) o) list.add(show(v));
            Collections.sort(list);
            return name + list;
        }
        if (o instanceof Map) {
            Map<String, String> map = new TreeMap<>();
            for (Map.Entry<?, ?> e : ((Map<?, ?>) o).entrySet()) map.put(show(e.getKey()), show(e.getValue()));
            return name + map;
        }
        if (o instanceof Order || o instanceof Item) {
            Map<String, String> map = new TreeMap<>();
            for (java.lang.reflect.Field f : o.getClass().getDeclaredFields()) {
                f.setAccessible(true);
                Object v = f.get(o);
                if (v != null) map.put(f.getName(), show(v));
            }
            return name + map;
        }
        if (o instanceof Character) return name + " " + (int) (Character) o;
        if (o instanceof Date) return name + " " + ((Date) o).getTime();
        if (o instanceof String && ((String) o).length() > 100) return "String of " + ((String) o).length() + " " + o.hashCode();
        return name + " " + o;
    }

    static void arguments(PrintStream out) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            String[] parts = line.split("\t");
            String shown;
            try {
                ObjectInput body = new Hessian2Serialization().deserialize(URL.valueOf("dubbo://localhost"), new ByteArrayInputStream(HexFormat.of().parseHex(parts[2])));
                for (String want : new String[] {"2.0.2", "org.example.Shop", "1.2.0", "$invoke", "Ljava/lang/String;[Ljava/lang/String;[Ljava/lang/Object;"}) {
                    String got = body.readUTF();
                    if (!got.equals(want)) throw new Exception(got + ": want " + want);
                }
                if (!body.readObject(String.class).equals("order")) throw new Exception("another method");
                String[] types = body.readObject(String[].class);
                Object[] given = body.readObject(Object[].class);
                Map<String, Object> attachments = body.readAttachments();
                if (types.length != 1 || given.length != 1 || !attachments.equals(Map.of("path", "org.example.Shop", "interface", "org.example.Shop", "version", "1.2.0", "group", "blue", "x-user", "ann", "generic", "true")))
                    throw new Exception(types.length + " types, " + given.length + " arguments, attachments " + new TreeMap<>(attachments));
                Type generic = null;
                for (Method m : Declared.class.getDeclaredMethods())
                    if (m.getGenericParameterTypes()[0].getTypeName().replace(" ", "").equals(parts[0])) generic = m.getGenericParameterTypes()[0];
                shown = show(PojoUtils.realize(given, new Class<?>[] {ReflectUtils.name2class(types[0])}, new Type[] {generic})[0]);
            } catch (Exception e) {
                shown = e.toString();
            }
            out.println(parts[0] + "\t" + parts[1] + "\t" + parts[2] + "\t" + shown);
        }
    }

    static void answer(PrintStream out, String name, int kind, Object value) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        ObjectOutput body = new Hessian2Serialization().serialize(URL.valueOf("dubbo://localhost"), bytes);
        body.writeByte((byte) kind);
        if (kind % 3 == 0) body.writeThrowable((Throwable) value);
        if (kind % 3 == 1) body.writeObject(value);
        if (kind >= 3) body.writeAttachments(new HashMap<>(Map.of("dubbo", "2.0.2")));
        body.flushBuffer();
        out.println(name + " " + HexFormat.of().formatHex(bytes.toByteArray()));
    }

    static void answers(PrintStream out) throws Exception {
        Map<String, Object> values = new LinkedHashMap<>();
        Order order = new Order();
        order.id = 9007199254740993L;
        order.count = 2;
        order.letter = '織';
        order.weight = 1.25;
        order.big = new BigInteger("-123456789012345678901234567890");
        order.at = new Date(1700000000123L);
        order.color = Color.BLUE;
        order.bytes = new byte[] {0, 1, 2};
        order.longs = new long[] {1, Long.MIN_VALUE};
        order.colors = new LinkedHashSet<>(Arrays.asList(Color.RED));
        Item item = new Item("a \"b\" 😀", new BigDecimal("12.50"));
        order.items = Arrays.asList(item, item, null);
        order.byId = new TreeMap<>(Map.of(5L, item));
        values.put("order", order);
        values.put("orders", Arrays.asList(order, order));
        for (int n : new int[] {0, 31, 32, 1023, 1024, 32769}) values.put("text:" + n, "x".repeat(n));
        values.put("bytes", new byte[9000]);
        values.put("few", new byte[500]);
        values.put("timestamp", new java.sql.Timestamp(5));
        values.put("minutes", new Date(60000));
        values.put("far", new Date(Long.MAX_VALUE));
        values.put("local", LocalDateTime.of(2020, 1, 2, 3, 4, 5));
        values.put("nan", new double[] {Double.NaN, Double.POSITIVE_INFINITY, 0.5, 1e300, 12.345, -0.0});
        values.put("floats", new float[] {1.5f, 0.1f});
        values.put("integers", new BigInteger[] {BigInteger.ZERO, BigInteger.ONE, BigInteger.ONE.shiftLeft(64), BigInteger.TEN.pow(30).negate()});
        values.put("decimals", Arrays.asList(new BigDecimal("1E+3"), new BigDecimal("-0.00"), new BigDecimal("123456789012345678901234567890.5")));
        values.put("atomic", new java.util.concurrent.atomic.AtomicLong(5));
        Map<Object, Object> keys = new TreeMap<>(Map.of(1, "a", 2, "b"));
        values.put("keys", keys);
        values.put("truths", new HashMap<>(Map.of(true, 1)));
        values.put("listed", new HashMap<>(Map.of(Arrays.asList(1), 1)));
        values.put("empty", Arrays.asList(new ArrayList<>(), new HashMap<>(), new Object[0], ""));
        List<Object> self = new ArrayList<>();
        self.add(self);
        values.put("self", self);
        List<Object> deep = new ArrayList<>();
        for (int i = 0; i < 500; i++) deep = new ArrayList<>(Arrays.asList(deep));
        values.put("deep", deep);
        for (Map.Entry<String, Object> e : values.entrySet()) answer(out, e.getKey(), e.getKey().length() % 2 == 0 ? 1 : 4, PojoUtils.generalize(e.getValue()));
        // Not made simple before, as by providers that know better.
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        Hessian2Output plain = new Hessian2Output(bytes);
        plain.writeInt(1);
        plain.writeObject(Arrays.asList(order, order, Color.RED, Color.RED, new TreeMap<>(Map.of("class", "economy", "name", "x"))));
        plain.flush();
        out.println("plain " + HexFormat.of().formatHex(bytes.toByteArray()));
        answer(out, "null", 2, null);
        answer(out, "null-attached", 5, null);
        answer(out, "thrown", 0, new GenericException(new IllegalStateException("boom \"織\"")));
        answer(out, "thrown-silently", 3, new GenericException(new IllegalStateException()));
        answer(out, "thrown-itself", 3, new IllegalArgumentException("none", new RuntimeException("cause")));
    }

    public static void main(String[] args) throws Exception {
        TimeZone.setDefault(TimeZone.getTimeZone("UTC"));
        PrintStream out = System.out;
        System.setOut(System.err);
        out = new PrintStream(out, true, "UTF-8");
        if (args[0].equals("arguments")) arguments(out);
        else answers(out);
    }
}
