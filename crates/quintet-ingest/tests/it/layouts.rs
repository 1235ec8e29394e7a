//! Known layouts of folders, small ones with planted faults.

use quintet_core::Modality;
use quintet_data::Part;
use quintet_ingest::{FaultCode, mmrec_features};

use crate::support::{fail, folder, places, run, write};

#[test]
fn recbole_reads_typed_columns_of_three_files() {
    let dir = folder(&[
        (
            "d/toy.inter",
            "user_id:token\titem_id:token\trating:float\ttimestamp:float\na\tx\t4\t100\nb\ty\t2.5\t\n",
        ),
        (
            "d/toy.item",
            "item_id:token\tmovie_title:token_seq\tyear:float\tclass:token_seq\tv:float_seq\n\
             x\tThe \"X\" files\t1995\tDrama Comedy\t0.1 0.2\ny\tWhy\t\tWar\t\n",
        ),
        ("d/toy.user", "user_id:token\tage:token\na\t7\nb\t9\n"),
        ("d/toy.kg", "head_id:token\n"),
    ]);
    let done = run(dir.path(), "recbole = { folder = \"d\" }");
    let d = &done.dataset;
    assert_eq!(d.items[0].title, "The \"X\" files");
    assert_eq!(d.items[0].text.as_deref(), Some("The \"X\" files\nDrama Comedy"));
    assert_eq!(d.items[0].attributes["year"], "1995");
    assert_eq!(d.items[0].attributes["class"], "Drama Comedy");
    assert_eq!(d.items[1].attributes.len(), 1);
    assert_eq!(d.users[1].attributes["age"], "9");
    assert_eq!((d.events.get(0).value, d.events.get(0).timestamp), (4.0, Some(100)));
    assert_eq!((d.events.get(1).event, d.events.get(1).timestamp), ("rating", None));
    assert_eq!(d.source["kind"], "recbole");
    let found = places(&done.report);
    let not_read = FaultCode::FileNotRead;
    assert_eq!(found, [(not_read, "d/toy.item", None), (not_read, "d/toy.kg", None)]);

    write(dir.path(), "d/other.inter", b"user_id:token\titem_id:token\na\tx\n");
    let error = fail(dir.path(), "recbole = { folder = \"d\" }").to_string();
    assert!(error.contains("or its `name`") && error.contains("other.inter"), "{error}");
    let error = fail(dir.path(), "recbole = { folder = \"d\", name = \"z\" }").to_string();
    assert!(error.contains("z.inter"), "{error}");
}

#[test]
fn mmrec_has_parts_mappings_and_matrices() {
    let dir = folder(&[
        ("baby.inter", "userID\titemID\tx_label\n0\t1\t0\n1\t0\t1\n1\t1\t2\n1\t2\t0\n0\t0\t7\n"),
        ("i_id_mapping.csv", "asin\titemID\nB00\t0\nB01\t1\n"),
        ("u_id_mapping.csv", "user_id\tuserID\nAnn\t0\nBob\t1\n"),
        ("image_feat.npy", ""),
        ("text_feat.npy", ""),
    ]);
    let done = run(dir.path(), "mmrec = { folder = \".\" }");
    let d = &done.dataset;
    assert_eq!(
        (d.items[1].id.as_str(), d.items[1].attributes["original_id"].as_str()),
        ("1", "B01")
    );
    let parts: Vec<_> = d.events.iter().map(|e| e.part.unwrap()).collect();
    assert_eq!(parts, [Part::Train, Part::Valid, Part::Test]);
    assert_eq!(done.report.count(FaultCode::UnknownItem), 1);
    assert_eq!(done.report.count(FaultCode::BadPart), 1);
    assert_eq!(done.report.count(FaultCode::FileNotRead), 2);
    let d = run(dir.path(), "mmrec = { folder = \".\", original_ids = true }").dataset;
    assert_eq!((d.items[1].id.as_str(), d.users[0].id.as_str()), ("B01", "Ann"));
    assert!(d.items[1].attributes.is_empty());
    let found = mmrec_features(dir.path());
    let path = |name: &str| dir.path().join(name);
    assert_eq!(
        found,
        [(Modality::Image, path("image_feat.npy")), (Modality::Text, path("text_feat.npy"))]
    );
}

#[test]
fn lightgcn_lines_are_users_and_their_items() {
    let dir = folder(&[
        ("train.txt", "0 5 7\n1\n2 5 x 9 \nu 1 2\n\n"),
        ("test.txt", "0 9\n"),
        ("item_list.txt", "org_id remap_id\n"),
    ]);
    let done = run(dir.path(), "lightgcn = { folder = \".\" }");
    let d = &done.dataset;
    let ids: Vec<_> = d.users.iter().map(|u| u.id.as_str()).collect();
    assert_eq!(ids, ["0", "1", "2"]);
    let items: Vec<_> = d.items.iter().map(|i| i.id.as_str()).collect();
    assert_eq!(items, ["5", "7", "9"]);
    assert_eq!(d.events.len(), 5);
    assert_eq!(d.events.get(4).part, Some(Part::Test));
    let bad = FaultCode::BadNumber;
    assert_eq!(
        places(&done.report),
        [
            (bad, "train.txt", Some(3)),
            (bad, "train.txt", Some(4)),
            (bad, "train.txt", Some(4)),
            (FaultCode::FileNotRead, "item_list.txt", None)
        ]
    );
    let train = &done.report.files[0];
    assert_eq!((train.rows_in, train.rows_kept, train.blank_lines), (7, 4, 1));
}

#[test]
fn amazon_2014_has_loose_metadata() {
    let dir = folder(&[
        (
            "r.json",
            "{\"reviewerID\": \"A\", \"asin\": \"1\", \"overall\": 5.0, \"unixReviewTime\": 100, \
             \"helpful\": [0, 0]}\n\
             {\"reviewerID\": \"B\", \"asin\": \"3\", \"overall\": 2.0, \"unixReviewTime\": 200}\n",
        ),
        (
            "m.json",
            "{'asin': '2', 'title': 'Unused'}\n\
             {'asin': '1', 'title': \"It's one\", 'description': 'Soft.', 'price': 9.5, \
             'imUrl': 'http://x/1.jpg', 'brand': 'B', 'categories': [['Baby', 'Toys']]}\n\
             {'asin': '1', 'title': 'Again'}\n",
        ),
    ]);
    let text = "amazon = { reviews = \"r.json\", metadata = \"m.json\" }";
    let done = run(dir.path(), text);
    let d = &done.dataset;
    assert_eq!(d.items.len(), 2);
    let one = &d.items[0];
    assert_eq!(one.title, "It's one");
    assert_eq!(one.text.as_deref(), Some("It's one\nSoft.\nBaby, Toys"));
    assert_eq!((one.attributes["price"].as_str(), one.attributes["brand"].as_str()), ("9.5", "B"));
    assert_eq!(one.attributes["image_url"], "http://x/1.jpg");
    assert_eq!(one.attributes["category"], "Baby, Toys");
    assert_eq!((d.events.get(0).event, d.events.get(0).timestamp), ("review", Some(100)));
    assert_eq!(done.report.count(FaultCode::UnusedItem), 1);
    assert_eq!(done.report.count(FaultCode::DuplicateItem), 1);
    let all = "amazon = { reviews = \"r.json\", metadata = \"m.json\", all_items = true }";
    assert_eq!(run(dir.path(), all).dataset.items.len(), 3);
}

#[test]
fn amazon_2018_and_2023_are_told_by_their_keys() {
    let dir = folder(&[
        (
            "r18.jsonl",
            "{\"overall\": 4.0, \"verified\": true, \"reviewerID\": \"A\", \"asin\": \"1\", \
             \"style\": {\"Size:\": \"L\"}, \"unixReviewTime\": 1500000000}\n",
        ),
        (
            "m18.jsonl",
            "{\"category\": [\"Books\", \"New\"], \"description\": [\"One.\", \"Two.\"], \
             \"title\": \"T\", \"feature\": [\"F\"], \"main_cat\": \"Books\", \"asin\": \"1\", \
             \"imageURL\": [\"http://a\", \"http://b\"], \"price\": \"$5\"}\n",
        ),
        (
            "r23.jsonl",
            "{\"rating\": 5.0, \"asin\": \"0\", \"parent_asin\": \"P\", \"user_id\": \"U\", \
             \"timestamp\": 1588687728923, \"images\": []}\n",
        ),
        (
            "m23.jsonl",
            "{\"main_category\": \"Toys\", \"title\": \"Q\", \"features\": [\"a\", \"b\"], \
             \"description\": [], \"price\": null, \"images\": [{\"thumb\": \"t\", \"large\": \"l\"}], \
             \"store\": \"S\", \"categories\": [\"Toys\"], \"parent_asin\": \"P\", \
             \"details\": {\"Brand\": \"X\"}}\n",
        ),
    ]);
    let d =
        run(dir.path(), "amazon = { reviews = \"r18.jsonl\", metadata = \"m18.jsonl\" }").dataset;
    assert_eq!(d.events.get(0).timestamp, Some(1_500_000_000));
    let item = &d.items[0];
    assert_eq!(item.text.as_deref(), Some("T\nOne., Two.\nF\nBooks, New"));
    assert_eq!(
        (item.attributes["category"].as_str(), item.attributes["image_url"].as_str()),
        ("Books", "http://a")
    );
    let d =
        run(dir.path(), "amazon = { reviews = \"r23.jsonl\", metadata = \"m23.jsonl\" }").dataset;
    assert_eq!(d.events.get(0).timestamp, Some(1_588_687_728));
    let item = &d.items[0];
    assert_eq!((item.id.as_str(), item.text.as_deref()), ("P", Some("Q\na, b\nToys")));
    assert_eq!(item.attributes["image_url"], "l");
    assert_eq!((item.attributes["brand"].as_str(), item.attributes.get("price")), ("S", None));
    let error = fail(dir.path(), "amazon = { reviews = \"m23.jsonl\" }").to_string();
    assert!(error.contains("reviewerID"), "{error}");
}

#[test]
fn checkins_have_places_with_checked_coordinates() {
    let dir = folder(&[
        ("c/My_checkins.txt", "u\tp\t100.0\nu\tp\t200\nv\tq\t300\nv\tbad\t400\n"),
        ("c/My_poi_coos.txt", "p\t40.5\t-73.9\nq\t90\t180\nbad\t90.1\t0\nnan\tNaN\t0\n"),
        ("c/My_poi_categories.txt", "p\tBar\np\tFood\n"),
    ]);
    let done = run(dir.path(), "duplicates = \"keep_all\"\ncheckins = { folder = \"c\" }");
    let d = &done.dataset;
    assert_eq!((d.users.len(), d.items.len(), d.events.len()), (2, 2, 3));
    let place = &d.items[0].attributes;
    assert_eq!((place["lat"].as_str(), place["lon"].as_str()), ("40.5", "-73.9"));
    assert_eq!(place["category"], "Bar, Food");
    assert_eq!(d.events.get(0).event, "checkin");
    let bad = FaultCode::BadCoordinate;
    assert_eq!(
        places(&done.report),
        [
            (bad, "c/My_poi_coos.txt", Some(3)),
            (bad, "c/My_poi_coos.txt", Some(4)),
            (FaultCode::UnknownItem, "c/My_checkins.txt", Some(4))
        ]
    );
}

#[test]
fn checkins_may_have_the_coordinates_in_every_row() {
    let rows = "who,poi,lat,lon,category\na,p,1,2,Food\na,p,1,2,Food\nb,p,1,3,Food\nb,q,x,0,\n";
    let dir = folder(&[("c.csv", rows)]);
    let text = "duplicates = \"keep_all\"\n[checkins]\nfile = \"c.csv\"\ncolumns = { user = \"who\", \
                place = \"poi\", lat = \"lat\", lon = \"lon\", category = \"category\" }";
    let done = run(dir.path(), text);
    assert_eq!(done.dataset.events.len(), 3);
    assert_eq!(done.dataset.items[0].attributes["category"], "Food");
    assert_eq!(
        places(&done.report),
        [
            (FaultCode::OtherCoordinate, "c.csv", Some(4)),
            (FaultCode::BadCoordinate, "c.csv", Some(5))
        ]
    );
}
