package org.example.peers;

import java.io.Serializable;
import java.math.BigDecimal;
import java.util.Date;
import java.util.List;
import java.util.Map;

/** What the server in Java has for those who speak HTTP and JSON: all kinds of arguments and answers. */
public interface Shop {
    /** Kind is one of two. */
    enum Kind { NEW, USED }

    /** Item is a class inside of another. */
    class Item implements Serializable {
        private String sku;
        private short count;

        public String getSku() { return sku; }
        public void setSku(String v) { sku = v; }
        public short getCount() { return count; }
        public void setCount(short v) { count = v; }
    }

    /** Order has a field of each kind. */
    class Order implements Serializable {
        private long id;
        private String name;
        private double weight;
        private BigDecimal price;
        private Date when;
        private Kind kind;
        private List<Item> items;
        private Map<String, Integer> stock;
        private boolean gift;
        private Integer none;

        public long getId() { return id; }
        public void setId(long v) { id = v; }
        public String getName() { return name; }
        public void setName(String v) { name = v; }
        public double getWeight() { return weight; }
        public void setWeight(double v) { weight = v; }
        public BigDecimal getPrice() { return price; }
        public void setPrice(BigDecimal v) { price = v; }
        public Date getWhen() { return when; }
        public void setWhen(Date v) { when = v; }
        public Kind getKind() { return kind; }
        public void setKind(Kind v) { kind = v; }
        public List<Item> getItems() { return items; }
        public void setItems(List<Item> v) { items = v; }
        public Map<String, Integer> getStock() { return stock; }
        public void setStock(Map<String, Integer> v) { stock = v; }
        public boolean isGift() { return gift; }
        public void setGift(boolean v) { gift = v; }
        public Integer getNone() { return none; }
        public void setNone(Integer v) { none = v; }
    }

    /** The order, under the next number. */
    Order place(Order order);

    /** The order, twice the same. */
    List<Order> twice(Order order);

    /** What came, in words. */
    String told(int a, long b, short c, byte d, char e, float f, double g, boolean h, String i, Date j, BigDecimal k, Kind l, int[] m, List<String> n, Map<String, Integer> o, byte[] p);

    /** The same for classes that may be null. */
    String boxes(Integer a, Long b, Boolean c, String d);

    /** What came, as it is. */
    Object any(Object o);

    /** Nothing. */
    void nothing();

    /** What is attached to the call under a key. */
    String attached(String key);

    /** Throws an exception with the message. */
    String fail(String message);

    /** Takes as long as is said. */
    String late(int milliseconds) throws InterruptedException;
}
